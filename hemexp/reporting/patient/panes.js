// What one picture shows: a CT, its outlines, a map over it, and the marks of where it is.

const PLANES = ["sagittal", "coronal", "axial"];
const SCALE_BAR_MM = 50;

/** Volumes are unpacked when they are first looked at, and kept. */
const unpacked = new Map();
function unpackOnce(packed) {
  if (!unpacked.has(packed)) unpacked.set(packed, unpack(packed));
  return unpacked.get(packed);
}

/** What a column shows: its CT, its masks, the baseline's for comparison, a map. */
async function read(kind, sample) {
  const map = kind.startsWith("map_") ? payload.maps[kind.slice(4)] : null;
  const scan = kind === "sample" ? samples[sample] : payload.scans[map ? "baseline" : kind];
  const before = kind === "baseline" ? null : payload.scans.baseline;
  const wanted = { ct: scan.ct, map };
  if (!map) Object.assign(wanted, { iph: scan.iph, ivh: scan.ivh });
  if (before) Object.assign(wanted, { iphBefore: before.iph, ivhBefore: before.ivh });
  const names = Object.keys(wanted).filter((name) => wanted[name]);
  const volumes = await Promise.all(names.map((name) => unpackOnce(wanted[name])));
  const found = { own: Boolean(scan.found), before: Boolean(payload.scans.baseline.found) };
  return { kind, found, ...Object.fromEntries(names.map((name, i) => [name, volumes[i]])) };
}

function drawPlane(canvas, pane) {
  const axis = Number(canvas.dataset.axis);
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * dense);
  canvas.height = Math.round(canvas.clientHeight * dense);
  if (!canvas.width || !canvas.height) return;
  const context = canvas.getContext("2d");
  const matrix = viewMatrix(canvas, axis, state);
  const cut = (layer) => cutPlane(layer, axis, state.at[axis]);
  paint(context, matrix, cut(pane.ct), tables[state.window]);
  if (pane.map) paint(context, matrix, cut(pane.map), mapTable);
  const { iph, ivh } = payload.colours;
  const outlines = [
    ["iphBefore", "outline", "#fff", pane.found.before, 1.1],
    ["ivhBefore", "outline", "#fff", pane.found.before, 1.1],
    ["iph", "iph", iph, pane.found.own, 1.8],
    ["ivh", "ivh", ivh, pane.found.own, 1.8],
  ];
  for (const [name, toggle, colour, dashed, width] of outlines) {
    if (!pane[name] || !state.show[toggle]) continue;
    strokeOutline(context, matrix, cut(pane[name]), dashed, colour, width * dense);
  }
  drawMarks(context, matrix, axis, dense);
  const where = { kind: texts[`viewer_${pane.kind}`], ...slice(axis) };
  canvas.setAttribute("aria-label", fill(texts.viewer_picture, where));
}

function drawMarks(context, matrix, axis, dense) {
  const { width, height } = context.canvas;
  const [u, v] = [ACROSS[axis], DOWN[axis]];
  if (state.show.cross) {
    const point = matrix.transformPoint({ x: 1 - state.at[u], y: 1 - state.at[v] });
    strokeCross(context, point, 12 * dense, dense);
  }
  const large = axis === state.large;
  const size = (large ? 16 : 13) * dense;
  write(context, LETTERS[u][1], size, height / 2, size, "center");
  write(context, LETTERS[u][0], width - size, height / 2, size, "center");
  write(context, LETTERS[v][1], width / 2, size, size, "center");
  write(context, LETTERS[v][0], width / 2, height - size, size, "center");
  const { slice: number, slices } = slice(axis);
  write(context, `${number}/${slices}`, size / 2, height - size, 0.85 * size, "left");
  if (large) drawScale(context, (SCALE_BAR_MM / sides_mm[u]) * matrix.a, size);
}

function drawScale(context, length, size) {
  const { width, height } = context.canvas;
  context.fillStyle = "#fff";
  context.fillRect(width - size / 2 - length, height - size / 2, length, size / 8);
  write(context, `${SCALE_BAR_MM / 10} cm`, width - size / 2, height - size, 0.85 * size, "right");
}

function slice(axis) {
  const number = indexAt(state.at[axis], shape[axis]) + 1;
  return { plane: texts[`viewer_${PLANES[axis]}`], slice: number, slices: shape[axis] };
}

function noteOf(kind) {
  if (kind === "sample") {
    return fill(texts.viewer_sample_note, { rank: shown.sample + 1, count: samples.length });
  }
  if (kind.startsWith("map_")) return texts[`viewer_note_${kind}`];
  return payload.scans[kind].found ? texts.viewer_found : texts.viewer_scan_note;
}

function drawLegend() {
  const legend = document.getElementById("viewer-legend");
  if (!legend) return;
  const image = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) image.data.set([...payload.colours.map[i], 255], 4 * i);
  legend.getContext("2d").putImageData(image, 0, 0);
}
