// What the reader looks at, and what happens when he turns it. Places are shares of the box's sides
// along right, front and up (0-1); only texts and numbers for people are in millimetres.

const PLANES = ["sagittal", "coronal", "axial"];
const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]];
const OPACITY = 0.75;
const SCALE_BAR_MM = 50;
const LEAST_SHIFT_MM = 0.05;
const ZOOM_STEP = 1.25;
const MOST_ZOOM = 8;

const payload = JSON.parse(document.getElementById("viewer-payload").textContent);
const viewer = document.getElementById("viewer");
const slider = document.getElementById("viewer-slider");
const texts = payload.texts;
const samples = payload.samples;
const { shape, affine } = payload.box;
const sides_mm = shape.map(
  (length, axis) => length * Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]),
);
const tables = Object.fromEntries(
  Object.entries(payload.windows_hu).map(([name, hu]) => [name, greys(hu, payload.stored_hu)]),
);
const mapTable = mapColours(payload.colours.map, payload.colours.from, OPACITY);
const columns = [...viewer.querySelectorAll(".viewer-column")].map((column) => ({
  choice: column.querySelector("select"),
  note: column.querySelector(".viewer-note"),
  canvases: [...column.querySelectorAll("canvas")],
}));

const state = {
  at: payload.start,
  centre: [0.5, 0.5, 0.5],
  zoom: 1,
  large: 2,
  sample: slider ? Number(slider.value) : -1,
  window: "brain",
  show: { iph: true, ivh: true, outline: true, cross: true },
};

/** A text with its gaps filled. */
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Volumes are unpacked when they are first looked at, and kept. */
const unpacked = new Map();
function volume(packed) {
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
  const volumes = await Promise.all(names.map((name) => volume(wanted[name])));
  const found = { own: Boolean(scan.found), before: Boolean(payload.scans.baseline.found) };
  return { kind, found, ...Object.fromEntries(names.map((name, i) => [name, volumes[i]])) };
}

/** A newer picture may overtake an older one that is still being unpacked, never the other way. */
let asked = 0;
let shown = { turn: 0, panes: [], sample: -1 };
async function update() {
  const turn = ++asked;
  const sample = state.sample;
  const panes = await Promise.all(columns.map(({ choice }) => read(choice.value, sample)));
  if (turn < shown.turn) return;
  shown = { turn, panes, sample };
  draw();
  if (viewer.dataset.sample !== String(sample)) tellSample(sample);
  viewer.dataset.ready = "yes";
}

function draw() {
  columns.forEach((column, i) => {
    const pane = shown.panes[i];
    column.note.textContent = noteOf(pane.kind);
    for (const canvas of column.canvases) drawPlane(canvas, pane);
  });
  tellPlace();
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

/** Millimetres of a place in the scanner, with the letter of the side it lies on. */
function place_mm() {
  const index = state.at.map((share, axis) => share * shape[axis] - 0.5);
  return affine.slice(0, 3).map((row, axis) => {
    const mm = row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3];
    return `${LETTERS[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(1)}`;
  });
}

async function tellPlace() {
  const ct = await volume(payload.scans.baseline.ct);
  const [low, high] = payload.stored_hu;
  const stored = valueAt(ct, state.at);
  const hu = Math.round(low + (stored / 255) * (high - low));
  const sign = stored <= 1 ? "≤ " : stored === 255 ? "≥ " : "";
  const [x, y, z] = place_mm();
  const map = shown.panes.find((pane) => pane.map)?.map;
  const values = { hu: sign + hu };
  if (map) values.probability = Math.round((valueAt(map, state.at) / 255) * 100);
  const told = fill(map ? texts.viewer_values : texts.viewer_values_alone, values);
  const where = fill(texts.viewer_where, { ...slice(state.large), x, y, z });
  document.getElementById("viewer-where").textContent = `${where} · ${told}`;
}

/** Tells the dragged sample: the readout, the dot, and whoever listens for `hemexp:sample`. */
function tellSample(number) {
  viewer.dataset.sample = String(number);
  if (!slider) return;
  const fact = samples[number];
  const rank = number + 1;
  slider.value = String(number);
  const told = { rank, count: samples.length, iph: fact.iph_ml.toFixed(1) };
  slider.setAttribute("aria-valuetext", fill(texts.viewer_rank, told));
  const facts = factTexts(fact);
  for (const cell of viewer.querySelectorAll("[data-fact]")) {
    cell.replaceChildren(...facts[cell.dataset.fact].map((text, i) => {
      const part = document.createElement(i ? "small" : "span");
      part.textContent = text;
      return part;
    }));
  }
  const dots = viewer.querySelectorAll(".viewer-dots circle");
  dots.forEach((dot, i) => dot.classList.toggle("now", i === number));
  markColumn([...dots], dots[number].cx.baseVal.value);
  const detail = { rank, count: samples.length };
  for (const [name, value] of Object.entries(fact)) {
    if (typeof value !== "object") detail[name] = value;
  }
  document.dispatchEvent(new CustomEvent("hemexp:sample", { detail }));
}

/** A wedge on top of the column of dots. */
function markColumn(dots, x) {
  const column = dots.filter((dot) => dot.cx.baseVal.value === x);
  const top = Math.min(...column.map(({ cy, r }) => cy.baseVal.value - r.baseVal.value));
  document.getElementById("viewer-mark").setAttribute("d", `M${x} ${top - 2}l-6 -10h12z`);
}

function signed(value, digits) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

/** What stands in the readout: the number, then what it is held against. */
function factTexts(fact) {
  const before = payload.volumes.baseline;
  const from = (ml) => fill(texts.viewer_from, { ml: ml.toFixed(1) });
  const share = before.iph_ml > 0 ? `${signed((100 * fact.growth_ml) / before.iph_ml, 0)} %` : "";
  const shift = fact.midline_shift_mm ?? 0;
  const side = shift < 0 ? texts.viewer_to_left : texts.viewer_to_right;
  return {
    iph: [`${fact.iph_ml.toFixed(1)} mL`, from(before.iph_ml)],
    growth: [`${signed(fact.growth_ml, 1)} mL`, share],
    expands: [fact.expands ? texts.viewer_yes : texts.viewer_no],
    ivh: [`${fact.ivh_ml.toFixed(1)} mL`, from(before.ivh_ml)],
    midline: [`${Math.abs(shift).toFixed(1)} mm`, Math.abs(shift) < LEAST_SHIFT_MM ? "" : side],
    ventricles: [`${signed(fact.ventricle_change_ml ?? 0, 1)} mL`],
  };
}

function chooseSample(number) {
  if (!slider) return;
  state.sample = Math.min(samples.length - 1, Math.max(0, number));
  update();
}

function clamp(share) {
  return Math.min(1, Math.max(0, share));
}

function moveTo(axis, share) {
  state.at[axis] = clamp(share);
  keepInView();
  draw();
}

function step(axis, voxels) {
  const length = shape[axis];
  moveTo(axis, (clamp((indexAt(state.at[axis], length) + 0.5 + voxels) / length)));
}

/** The picture follows the crosshair where it would leave the canvas. */
function keepInView() {
  const half = 0.5 / state.zoom;
  state.centre = state.centre.map((centre, axis) => {
    const seen = Math.min(state.at[axis] + half, Math.max(state.at[axis] - half, centre));
    return Math.min(1 - half, Math.max(half, seen));
  });
}

/** Zooms so that the crosshair stays where it is on the canvas. */
function zoomTo(zoom) {
  const wanted = Math.min(MOST_ZOOM, Math.max(1, zoom));
  const ratio = state.zoom / wanted;
  state.centre = state.centre.map((c, axis) => state.at[axis] + (c - state.at[axis]) * ratio);
  state.zoom = wanted;
  keepInView();
  draw();
}

function showLarge(axis) {
  state.large = axis;
  for (const { canvases } of columns) {
    for (const canvas of canvases) {
      const own = Number(canvas.dataset.axis);
      const [wide, high] = [sides_mm[ACROSS[own]], sides_mm[DOWN[own]]];
      canvas.classList.toggle("large", own === axis);
      canvas.tabIndex = own === axis ? 0 : -1;
      canvas.style.aspectRatio = `${wide} / ${high}`;
      canvas.style.setProperty("--wide", wide);
      canvas.style.setProperty("--high", high);
    }
  }
  viewer.querySelector(`[name=viewer-plane][value="${axis}"]`).checked = true;
}

function chooseWindow(name) {
  state.window = name;
  viewer.querySelector(`[name=viewer-window][value="${name}"]`).checked = true;
  draw();
}

function pointed(canvas, event) {
  const axis = Number(canvas.dataset.axis);
  const box = canvas.getBoundingClientRect();
  const dense = canvas.width / box.width;
  const seen = { x: (event.clientX - box.left) * dense, y: (event.clientY - box.top) * dense };
  const { x, y } = viewMatrix(canvas, axis, state).inverse().transformPoint(seen);
  state.at[ACROSS[axis]] = clamp(1 - x);
  state.at[DOWN[axis]] = clamp(1 - y);
  draw();
}

/** What a key does on a picture; the crosshair moves by a voxel, to the side the arrow says. */
function keyAction(key, axis) {
  const [u, v] = [ACROSS[axis], DOWN[axis]];
  const other = Object.keys(tables).find((name) => name !== state.window);
  const actions = {
    ArrowLeft: () => step(u, 1),
    ArrowRight: () => step(u, -1),
    ArrowUp: () => step(v, 1),
    ArrowDown: () => step(v, -1),
    PageUp: () => step(axis, 1),
    PageDown: () => step(axis, -1),
    ",": () => chooseSample(state.sample - 1),
    ".": () => chooseSample(state.sample + 1),
    "+": () => zoomTo(state.zoom * ZOOM_STEP),
    "-": () => zoomTo(state.zoom / ZOOM_STEP),
    0: () => zoomTo(1),
    w: () => chooseWindow(other),
    a: () => turn(2),
    c: () => turn(1),
    s: () => turn(0),
  };
  return actions[key];
}

function turn(axis) {
  const column = columns.find(({ canvases }) => canvases.includes(document.activeElement));
  showLarge(axis);
  column?.canvases.find((canvas) => canvas.tabIndex === 0).focus();
  draw();
}

function listenTo(canvas) {
  const axis = Number(canvas.dataset.axis);
  canvas.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? null : keyAction(event.key, axis);
    if (!action) return;
    event.preventDefault();
    action();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const up = event.deltaY < 0;
    if (event.ctrlKey) zoomTo(state.zoom * (up ? ZOOM_STEP : 1 / ZOOM_STEP));
    else step(axis, up ? 1 : -1);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointed(canvas, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) pointed(canvas, event);
  });
}

function listen() {
  for (const { choice, canvases } of columns) {
    choice.addEventListener("change", update);
    canvases.forEach(listenTo);
  }
  slider?.addEventListener("input", () => chooseSample(Number(slider.value)));
  viewer.querySelectorAll(".viewer-dots circle").forEach((dot, i) => {
    dot.addEventListener("click", () => chooseSample(i));
  });
  viewer.addEventListener("change", ({ target }) => {
    if (target.name === "viewer-window") chooseWindow(target.value);
    if (target.name === "viewer-plane") turn(Number(target.value));
    if (target.name === "viewer-show") state.show[target.value] = target.checked;
    if (target.name === "viewer-show") draw();
  });
  const zooms = { in: () => state.zoom * ZOOM_STEP, out: () => state.zoom / ZOOM_STEP };
  for (const button of viewer.querySelectorAll("[data-zoom]")) {
    const wanted = zooms[button.dataset.zoom] ?? (() => 1);
    button.addEventListener("click", () => zoomTo(wanted()));
  }
  new ResizeObserver(() => shown.panes.length && draw()).observe(viewer);
  window.addEventListener("beforeprint", draw);
}

function drawLegend() {
  const legend = document.getElementById("viewer-legend");
  if (!legend) return;
  const image = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) image.data.set([...payload.colours.map[i], 255], 4 * i);
  legend.getContext("2d").putImageData(image, 0, 0);
}

/** Unpacks the other samples while nobody asks for anything, so that dragging is smooth. */
async function readAhead() {
  for (const { ct, iph, ivh } of samples) {
    await new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done));
    await Promise.all([ct, iph, ivh].map(volume));
  }
}

async function start() {
  showLarge(2);
  listen();
  drawLegend();
  await update();
  performance.mark("hemexp:first-picture");
  await readAhead();
}

start().catch((error) => {
  const failed = document.getElementById("viewer-failed");
  failed.textContent = fill(texts.viewer_failed, { error: error.message });
  failed.hidden = false;
  throw error;
});
