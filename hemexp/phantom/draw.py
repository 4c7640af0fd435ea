"""Verb `draw-patient`: the raw scans of a phantom patient, and what is true of them."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.phantom.bleed import Shape, draw_direction, draw_shape
from hemexp.phantom.centers import (
    HEAD_CENTER_MM,
    Center,
    draw_motion,
    draw_pose,
    find_center,
    rotation_angle_deg,
    scanner_grid,
)
from hemexp.phantom.head import Head, draw_head
from hemexp.phantom.mass_effect import largest_shift_mm, mean_shift_mm, ventricle_ml
from hemexp.phantom.model import (
    GROWTH_PROBABILITIES,
    Case,
    draw_case,
    draw_growth,
    expansion_probability,
    generator,
    growth_mean_ml,
    growth_quantile,
    he_threshold_ml,
)
from hemexp.phantom.scan import PhantomScan, take_scan
from hemexp.phantom.tissue import Session
from hemexp.provenance import describe, write_json, write_sidecars
from hemexp.settings import Phantom
from hemexp.volumes import Volume, volume_ml, write_volume

OEDEMA_MM = (1.5, 0.25, 5.0)
"""Oedema at baseline: 1.5 mm plus 0.25 mm per hour since onset; at follow-up 5 mm."""


def draw_scans(
    patient_id: str, center: Center, settings: Phantom
) -> tuple[dict[str, PhantomScan], NDArray[np.float64], dict[str, Any]]:
    """Draws both scans of a patient.

    Args:
        patient_id: Who; the patient depends on it, the centre and the phantom's seed alone.
        center: Where they were scanned.
        settings: The phantom's settings.

    Returns:
        The scans by session, their affine, and the truth as JSON values.
    """
    case, head, bleed = _describe(settings.seed, patient_id)
    grid = scanner_grid(center, settings.spacing_factor)
    pose = draw_pose(center, generator(settings.seed, patient_id, "pose"))
    motion = draw_motion(pose, generator(settings.seed, patient_id, "motion"))
    rng = generator(settings.seed, patient_id, "followup")
    growth_ml = float(draw_growth(case, rng)[0])
    direction = draw_direction(bleed, rng)
    volume_ml, noise_hu = case.baseline_iph_ml, center.noise_hu
    oedema_mm = OEDEMA_MM[0] + OEDEMA_MM[1] * case.onset_to_ct_h
    noise = generator(settings.seed, patient_id, "noise")
    first = take_scan(head, bleed, Session(pose, volume_ml, oedema_mm), grid, noise_hu, noise)
    later = Session(motion @ pose, volume_ml + growth_ml, OEDEMA_MM[2], first.extent, direction)
    second = take_scan(head, bleed, later, grid, noise_hu, noise)
    scans = dict(zip(SESSIONS, (first, second), strict=True))
    truth = _case_truth(case, bleed, growth_ml, settings.truth_draws)
    truth |= {"center": center.name, **_motion_truth(pose, motion)}
    for session, scan in scans.items():
        volume = volume_ml + growth_ml * (session == "followup")
        truth[session] = _scan_truth(scan, grid[1], head, bleed, volume)
    return scans, grid[1], truth


def _describe(seed: int, patient_id: str) -> tuple[Case, Head, Shape]:
    case = draw_case(seed, patient_id)
    return case, draw_head(seed, patient_id, case.age), draw_shape(seed, case)


def _case_truth(case: Case, bleed: Shape, growth_ml: float, points: int) -> dict[str, Any]:
    return {
        **asdict(case),
        "site": bleed.site,
        "side": bleed.side,
        "center_mm": bleed.center_mm.tolist(),
        "growth_direction": bleed.direction.tolist(),
        "p_expansion": expansion_probability(case),
        "growth_ml": growth_ml,
        "expanded": int(growth_ml >= he_threshold_ml(case.baseline_iph_ml)),
        "growth_mean_ml": growth_mean_ml(case, points),
        "growth_quantiles_ml": growth_quantile(case, GROWTH_PROBABILITIES).tolist(),
    }


def _motion_truth(pose: NDArray[np.float64], motion: NDArray[np.float64]) -> dict[str, Any]:
    middle = np.append(pose[:3, :3] @ HEAD_CENTER_MM + pose[:3, 3], 1)
    return {
        "head_to_baseline": pose.tolist(),
        "baseline_to_followup": motion.tolist(),
        "rotation_deg": rotation_angle_deg(motion),
        "translation_mm": float(np.linalg.norm((motion @ middle - middle)[:3])),
    }


def _scan_truth(
    scan: PhantomScan, affine: NDArray[np.float64], head: Head, bleed: Shape, iph_ml: float
) -> dict[str, float]:
    images = ("iph", "ivh", "brain")
    measured = {f"{name}_ml": volume_ml(Volume(getattr(scan, name), affine)) for name in images}
    effect = head, bleed.center_mm, iph_ml
    return {
        **measured,
        "ventricle_ml": ventricle_ml(*effect),
        "midline_shift_mm": -bleed.side * mean_shift_mm(*effect),
        "midline_largest_mm": -bleed.side * largest_shift_mm(*effect),
        "model_iph_ml": iph_ml,
    }


def run_draw_patient(
    layout: Layout, patient_id: str, center: str, settings: Phantom
) -> list[Path]:
    """Writes both raw scans of a patient with their masks, and the truth beside them.

    Args:
        layout: Of the run.
        patient_id: Letters and digits.
        center: Letter of the centre.
        settings: The phantom's settings.

    Returns:
        The files written: six NIfTI and `sub-ID_truth.json`, whose numbers are in mL, mm, degrees
        and head coordinates. `baseline_to_followup` maps a baseline scanner point to the
        follow-up scanner point (RAS, mm). `midline_shift_mm` is the mean shift of the midline
        plane where `hemexp.anatomy.midline` looks, `midline_largest_mm` the largest at the septum;
        both are positive away from the bleed. `ventricle_ml` includes blood in the ventricles.

    Raises:
        HemexpError: There is no such centre.
    """
    started = time.perf_counter()
    scans, affine, truth = draw_scans(patient_id, find_center(center), settings)
    images = []
    for session, scan in scans.items():
        for image, path in layout.raw(patient_id, session)._asdict().items():
            data = getattr(scan, image)
            write_volume(path, data, affine, data.dtype)
            images.append(path)
    written = layout.truth(patient_id)
    record: dict[str, Any] = {
        "verb": "draw-patient",
        "settings": settings.as_json(),
        "inputs": [],
        "started": started,
        "seed": settings.seed,
    }
    write_json(written, truth | {"provenance": describe(**record)})
    write_sidecars(images, **record)
    return [*images, written]
