"""Verb `fit-push`: how strongly growth pushes, from what it did to the training pairs."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.anatomy.midline import midline_shift_mm
from hemexp.anatomy.noise import kept_texture
from hemexp.anatomy.push import BackMap, midline_plane, spline_source, warp
from hemexp.anatomy.push_fit import PushModel, PushPairs, fit_push, unit_effects
from hemexp.anatomy.ventricles import Ventricles
from hemexp.columns import SESSIONS
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.provenance import describe, write_json

log = logging.getLogger(__name__)


def measure_pair(baseline: GridScan, followup: GridScan) -> tuple[float, float, list, list, float]:
    """What a pair's midline and ventricles did, and what 1 mL of push would do to them.

    Args:
        baseline: On the grid.
        followup: On the same grid.

    Returns:
        Midline shift in mm and ventricle change in mL; shift in mm and ventricle change in mL for
        each candidate sink; and the share of fine structure that was kept.
    """
    spacing_mm, brain = baseline.ct.spacing_mm, baseline.brain
    blood = baseline.blood | followup.blood
    images = baseline.ct.data, followup.ct.data
    ventricles = Ventricles(baseline)
    plane = midline_plane(brain, blood, spacing_mm)
    shift_mm = midline_shift_mm(*images, blood, brain, spacing_mm)
    change_ml = ventricles.change_ml(images[1], followup.blood)
    source = spline_source(images[0], brain, spacing_mm)

    def warped_change_ml(back: BackMap) -> float:
        return ventricles.change_ml(warp(images[0], back, source), followup.blood)

    units = unit_effects(baseline.iph, ventricles.mask, brain, spacing_mm, plane, warped_change_ml)
    return shift_mm, change_ml, *units, kept_texture(baseline, followup, ventricles.mask)


def run_fit_push(layout: Layout, sheet: pd.DataFrame) -> None:
    """Verb `fit-push`: `push.json` from the training pairs on the grid.

    Args:
        layout: Of the run.
        sheet: Rows of the training patients.
    """
    started, volumes = time.perf_counter(), read_volumes(layout, sheet)
    found = [
        measure_pair(*(read_grid_scan(layout, patient_id, s) for s in SESSIONS))
        for patient_id in sheet.index
    ]
    baseline_ml = volumes["baseline_iph_ml"].to_numpy(dtype=float)
    growth_ml = volumes["followup_iph_ml"].to_numpy(dtype=float) - baseline_ml
    *measured, kept = (np.array(part) for part in zip(*found, strict=True))
    pairs = PushPairs(growth_ml, baseline_ml, *measured)
    model = fit_push(pairs)
    if model.prior:
        log.warning("mass effect is partly assumed, not fitted: %s", model.prior)
    texture = float(np.nanmean(kept)) if np.isfinite(kept).any() else None
    log.info("%s; of fine structure %s is kept", model, texture)
    inputs = [
        path
        for patient_id in sheet.index
        for session in SESSIONS
        for path in (
            *layout.grid(patient_id, session).images,
            layout.native(patient_id, session).volumes,
        )
    ]
    record = describe(verb="fit-push", settings={}, inputs=inputs, started=started)
    write_json(layout.push, {"push": model.as_json(), "kept_texture": texture, **record})


def load_push(path: Path) -> PushModel:
    """Reads the push of `push.json`."""
    return PushModel.from_json(json.loads(path.read_text(encoding="utf-8"))["push"])


def load_texture(path: Path) -> float | None:
    """Reads from `push.json` how much of a scan's fine structure a second scan keeps."""
    return json.loads(path.read_text(encoding="utf-8"))["kept_texture"]
