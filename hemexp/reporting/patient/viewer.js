// What the reader looks at, and what happens when he turns it. Places are shares of the box's sides
// along right, front and up (0-1); only texts and numbers for people are in millimetres.
//
// Drawn on plain canvases. Bokeh would bring three linked pictures and a slider, but 2.3 MB to every
// page; outlines, crosshair, unpacking and the other planes would be callbacks of the same length.

const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]];
const OPACITY = 0.75;
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

/** A newer picture may overtake an older one that is still being unpacked, never the other way. */
let asked = 0;
let shown = { request: 0, panes: [], sample: -1 };
async function update() {
  const request = ++asked;
  const sample = state.sample;
  const panes = await Promise.all(columns.map(({ choice }) => read(choice.value, sample)));
  if (request < shown.request) return;
  const before = shown.panes;
  shown = { request, panes, sample };
  draw((i) => panes[i].kind === "sample" || panes[i].kind !== before[i]?.kind);
  if (viewer.dataset.sample !== String(sample)) tellSample(sample);
  viewer.dataset.ready = "yes";
}

/** Draws the columns that are wanted: dragging the slider leaves most as they are. */
function draw(wanted = () => true) {
  columns.forEach((column, i) => {
    if (!wanted(i)) return;
    const pane = shown.panes[i];
    column.note.textContent = noteOf(pane.kind);
    for (const canvas of column.canvases) drawPlane(canvas, pane);
  });
  tellPlace();
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
}

/** Unpacks the other samples while nobody asks for anything, so that dragging is smooth. */
async function readAhead() {
  for (const { ct, iph, ivh } of samples) {
    await new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done));
    await Promise.all([ct, iph, ivh].map(unpackOnce));
  }
}

async function begin() {
  showLarge(2);
  listen();
  drawLegend();
  await update();
  performance.mark("hemexp:first-picture");
  await readAhead();
}

begin().catch((error) => {
  const failed = document.getElementById("viewer-failed");
  failed.textContent = fill(texts.viewer_failed, { error: error.message });
  failed.hidden = false;
  throw error;
});
