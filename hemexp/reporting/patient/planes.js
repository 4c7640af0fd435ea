// Planes become pictures. A canvas shows a part of a square of side 1: the whole plane.

/** What 8 bits look like: 256 colours as red, green, blue and opacity. */
function greys([low, high], [from, to]) {
  const table = new Uint8ClampedArray(1024);
  for (let i = 0; i < 256; i++) {
    const hu = from + (i / 255) * (to - from);
    table.fill(i ? (255 * (hu - low)) / (high - low) : 0, 4 * i, 4 * i + 3);
    table[4 * i + 3] = 255;
  }
  return table;
}

function mapColours(colours, least, opacity) {
  const table = new Uint8ClampedArray(1024);
  colours.forEach((colour, i) => {
    table.set([...colour, i < least * 255 ? 0 : 255 * opacity], 4 * i);
  });
  return table;
}

/** From the square of side 1 to the pixels of a canvas. */
function viewMatrix(canvas, axis, { zoom, centre }) {
  const [wide, high] = [canvas.width * zoom, canvas.height * zoom];
  const [u, v] = [1 - centre[ACROSS[axis]], 1 - centre[DOWN[axis]]];
  return new DOMMatrix([
    wide, 0, 0, high, canvas.width / 2 - u * wide, canvas.height / 2 - v * high,
  ]);
}

function paint(context, matrix, { wide, high, plane }, table) {
  const image = new ImageData(wide, high);
  const colours = new Uint32Array(table.buffer);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < plane.length; i++) pixels[i] = colours[plane[i]];
  const sheet = new OffscreenCanvas(wide, high);
  sheet.getContext("2d").putImageData(image, 0, 0);
  context.setTransform(matrix);
  // Straight lines between voxels: the better filters blunt a single bright one.
  context.imageSmoothingQuality = "medium";
  context.drawImage(sheet, 0, 0, 1, 1);
  context.resetTransform();
}

/** From which side of a square of four voxels to which an outline runs, by the voxels inside:
 * upper left 1, upper right 2, lower right 4, lower left 8 (marching squares). What is inside lies
 * on one hand, so that stretches of neighbours follow each other. */
const TOP = [1, 0], RIGHT = [2, 1], FOOT = [1, 2], LEFT = [0, 1];
const STRETCHES = [
  [], [LEFT, TOP], [TOP, RIGHT], [LEFT, RIGHT], [RIGHT, FOOT], [LEFT, TOP, RIGHT, FOOT],
  [TOP, FOOT], [LEFT, FOOT], [FOOT, LEFT], [FOOT, TOP], [TOP, RIGHT, FOOT, LEFT], [FOOT, RIGHT],
  [RIGHT, LEFT], [RIGHT, TOP], [TOP, LEFT], [],
];

/** Which point of a mask's outline follows which; points lie between voxels, in half voxels. */
function outlineSteps({ wide, high, plane }) {
  const steps = new Map();
  const [first, last] = [plane.indexOf(1), plane.lastIndexOf(1)];
  if (first < 0) return steps;
  const inside = (x, y) => (x < 0 || y < 0 || x >= wide || y >= high ? 0 : plane[y * wide + x]);
  for (let y = Math.floor(first / wide) - 1; y <= Math.floor(last / wide); y++) {
    for (let x = -1; x < wide; x++) {
      const above = inside(x, y) | (inside(x + 1, y) << 1);
      const stretches = STRETCHES[above | (inside(x + 1, y + 1) << 2) | (inside(x, y + 1) << 3)];
      const points = stretches.map(([right, down]) => `${2 * x + 1 + right},${2 * y + 1 + down}`);
      for (let i = 0; i < points.length; i += 2) steps.set(points[i], points[i + 1]);
    }
  }
  return steps;
}

/** The outline of a mask in the square of side 1. */
function outlineOf(mask) {
  const path = new Path2D();
  const steps = outlineSteps(mask);
  while (steps.size) {
    let point = steps.keys().next().value;
    for (let first = true; steps.has(point); first = false) {
      const [x, y] = point.split(",");
      const place = [x / 2 / mask.wide, y / 2 / mask.high];
      if (first) path.moveTo(...place);
      else path.lineTo(...place);
      const next = steps.get(point);
      steps.delete(point);
      point = next;
    }
    path.closePath();
  }
  return path;
}

function strokeOutline(context, matrix, mask, dashed, colour, width) {
  const path = new Path2D();
  path.addPath(outlineOf(mask), matrix);
  context.setLineDash(dashed ? [4 * width, 3 * width] : []);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
  context.setLineDash([]);
}

/** Two lines through a point, with a gap so that they do not hide what is looked at. */
function strokeCross(context, { x, y }, gap, width) {
  const { width: wide, height: high } = context.canvas;
  context.strokeStyle = "rgba(255, 255, 255, 0.55)";
  context.lineWidth = width;
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - gap, y], [x + gap, y, wide, y], [x, 0, x, y - gap], [x, y + gap, x, high],
  ]) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

/** White letters with a dark rim, legible on tissue and on nothing. */
function write(context, text, x, y, size, align) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineWidth = size / 4;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}
