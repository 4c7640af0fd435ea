"""The interactive pictures of one patient, as pieces of HTML that a page takes up."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hemexp.layout import Layout
from hemexp.outcomes import is_expansion
from hemexp.reporting.patient import FOLDER
from hemexp.reporting.patient.dots import dot_figure
from hemexp.reporting.patient.layers import Layers, on_slider, pack_samples
from hemexp.reporting.patient.pack import STORED_HU
from hemexp.reporting.slices import SHOWN_HU
from hemexp.reporting.style import IPH, IVH

STYLE, SCRIPTS = "viewer.css", ("volumes.js", "planes.js", "panes.js", "readout.js", "viewer.js")

WINDOWS_HU = {"brain": SHOWN_HU, "blood": STORED_HU}
"""The brain window, width 80 and level 40, and the wider one for blood, width 200 and level 80
(usual: width 130-300, level 50-100; radiopaedia.org, Windowing (CT))."""

MAP_COLOURS, MAP_FROM = "plasma", 0.05
"""As in the figures: below .05 the map is transparent."""

CHANGES = ("midline_shift_mm", "ventricle_change_ml")
"""Mass effect of a sample, as far as tables have it."""

FACTS = {
    "iph": "iph_ml",
    "growth": "growth_ml",
    "expands": "expands",
    "ivh": "ivh_ml",
    "midline": "midline_shift_mm",
    "ventricles": "ventricle_change_ml",
}
"""The readout of a sample, and the column that each line needs."""


class ViewerPieces(NamedTuple):
    """Safe markup for three places of a page.

    Attributes:
        head: The style.
        body: Pictures, slider, readout and figure.
        scripts: The payload and the script, for the end of the body.
        seen: The files that were read.
    """

    head: str
    body: str
    scripts: str
    seen: list[Path]


@cache
def environment() -> Environment:
    """Templates of this folder; what they are given is escaped, and has to be there."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def map_colours() -> list[list[int]]:
    """Red, green and blue (0-255) of the 256 steps of a map."""
    colours = matplotlib.colormaps[MAP_COLOURS](np.arange(256), bytes=True)
    return colours[:, :3].tolist()


def sample_facts(samples: pd.DataFrame, baseline_iph_ml: float) -> list[dict[str, Any]]:
    """What is read off every sample of the slider.

    Args:
        samples: Rows in the slider's order, with `sample`, `iph_ml`, `ivh_ml` and what there is
            of `CHANGES`.
        baseline_iph_ml: IPH at baseline.
    """
    facts = samples[["sample", "iph_ml", "ivh_ml"]].copy()
    facts["growth_ml"] = facts["iph_ml"] - baseline_iph_ml
    facts["expands"] = is_expansion(facts["growth_ml"], baseline_iph_ml)
    for name in CHANGES:
        if name in samples and samples[name].notna().all():
            facts[name] = samples[name]
    return facts.round(3).to_dict("records")


def read_samples(layers: Layers) -> pd.DataFrame:
    """The table of the drawn samples; empty where none were drawn."""
    path = layers.layout.sample_volumes(layers.patient_id)
    if not path.is_file():
        return pd.DataFrame({"sample": [], "kept": [], "iph_ml": [], "ivh_ml": []})
    return layers.table(path)


def read_volumes(layers: Layers, session: str) -> dict[str, float]:
    """Native IPH and IVH of a scan, mL."""
    row = layers.table(layers.layout.native(layers.patient_id, session).volumes).iloc[0]
    return {name: float(row[name]) for name in ("iph_ml", "ivh_ml")}


def make_payload(
    layers: Layers, texts: Mapping[str, str], drawn: pd.DataFrame | None = None
) -> dict[str, Any]:
    """All that the script is given, ready for JSON; arguments as for `viewer_pieces`."""
    drawn = read_samples(layers) if drawn is None else drawn
    kept = drawn[drawn["kept"] == 1]
    samples = on_slider(kept.sort_values(["iph_ml", "sample"], ignore_index=True))
    sessions = ["baseline"]
    if layers.layout.native(layers.patient_id, "followup").volumes.is_file():
        sessions.append("followup")
    volumes = {session: read_volumes(layers, session) for session in sessions}
    pictures, quality = pack_samples(layers, [int(k) for k in samples["sample"]])
    facts = sample_facts(samples, volumes["baseline"]["iph_ml"])
    return {
        "box": {"shape": list(layers.box.data.shape), "affine": layers.box.affine.tolist()},
        "start": layers.start(),
        "stored_hu": STORED_HU,
        "windows_hu": WINDOWS_HU,
        "colours": {"map": map_colours(), "from": MAP_FROM, "iph": IPH, "ivh": IVH},
        "scans": {session: layers.scan(session) for session in sessions},
        "volumes": volumes,
        "samples": [fact | picture for fact, picture in zip(facts, pictures, strict=True)],
        "drawn": len(drawn),
        "quality": quality,
        "maps": layers.maps() if pictures else {},
        "texts": {key: text for key, text in texts.items() if key.startswith("viewer_")},
    }


def viewer_pieces(
    layout: Layout,
    patient_id: str,
    texts: Mapping[str, str],
    reference: str = "baseline",
    drawn: pd.DataFrame | None = None,
) -> ViewerPieces:
    """The viewer of one patient.

    Args:
        layout: Holds the patient's scans and samples; nothing drawn, no slider.
        patient_id: The patient.
        texts: From `read_texts`.
        reference: Session on whose axes the grid lies, `preprocess.reference`.
        drawn: The samples' table with what there is of `CHANGES`; else `volumes.tsv` as it stands.

    Raises:
        ImageError: A file of the patient cannot be read.
    """
    layers = Layers(layout, patient_id, reference)
    payload = make_payload(layers, texts, drawn)
    body = (
        environment()
        .get_template("viewer.html")
        .render(t=texts, payload=payload, **shown(payload, texts))
    )
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    css = (FOLDER / STYLE).read_text(encoding="utf-8")
    data = environment().from_string("{{ payload|tojson }}").render(payload=payload)
    scripts = (
        f'<script type="application/json" id="viewer-payload">{data}</script>\n'
        f'<script type="module">\n{script}</script>'
    )
    return ViewerPieces(f"<style>\n{css}</style>", body, scripts, layers.seen)


def shown(payload: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """What the template lays out: kinds of pictures, columns, figure, readout.

    Args:
        payload: From `make_payload`.
        texts: From `read_texts`.
    """
    samples, volumes = payload["samples"], payload["volumes"]
    scans, maps = list(payload["scans"]), [f"map_{name}" for name in payload["maps"]]
    kinds = ["baseline", *(["sample"] if samples else []), *scans[1:], *maps]
    columns = ["baseline", "sample", "map_drawn"] if samples else scans
    if not samples:
        return {"samples": [], "kinds": kinds, "columns": columns}
    iph_ml = [sample["iph_ml"] for sample in samples]
    true_ml = volumes["followup"]["iph_ml"] if "followup" in volumes else None
    ends = {"count": len(iph_ml), "low": f"{iph_ml[0]:.1f}", "high": f"{iph_ml[-1]:.1f}"}
    return {
        "samples": samples,
        "kinds": kinds,
        "columns": columns,
        "figure": dot_figure(iph_ml, volumes["baseline"]["iph_ml"], true_ml),
        "alt": texts["viewer_figure_alt"].format(**ends),
        "facts": [name for name, column in FACTS.items() if column in samples[0]],
    }
