// What is said of the dragged sample and of the crosshair.

const LEAST_SHIFT_MM = 0.05;

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

function heldAgainst(ml) {
  return fill(texts.viewer_from, { ml: ml.toFixed(1) });
}

/** What stands in the readout: the number, then what it is held against. */
function factTexts(fact) {
  const before = payload.volumes.baseline;
  const share = before.iph_ml > 0 ? `${signed((100 * fact.growth_ml) / before.iph_ml, 0)} %` : "";
  const shift = fact.midline_shift_mm ?? 0;
  const side = shift < 0 ? texts.viewer_to_left : texts.viewer_to_right;
  return {
    iph: [`${fact.iph_ml.toFixed(1)} mL`, heldAgainst(before.iph_ml)],
    growth: [`${signed(fact.growth_ml, 1)} mL`, share],
    expands: [fact.expands ? texts.viewer_yes : texts.viewer_no],
    ivh: [`${fact.ivh_ml.toFixed(1)} mL`, heldAgainst(before.ivh_ml)],
    midline: [`${Math.abs(shift).toFixed(1)} mm`, Math.abs(shift) < LEAST_SHIFT_MM ? "" : side],
    ventricles: [`${signed(fact.ventricle_change_ml ?? 0, 1)} mL`],
  };
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
  const ct = await unpackOnce(payload.scans.baseline.ct);
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
