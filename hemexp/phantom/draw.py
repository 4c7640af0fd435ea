"""Verb `draw-patient`: the raw scans of a phantom patient, and what is true of them."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.phantom.bleed import Shape, draw_direction
from hemexp.phantom.centers import (
    HEAD_CENTER_MM,
    Center,
    draw_motion,
    draw_pose,
    find_center,
    rotation_angle_deg,
    scanner_grid,
)
from hemexp.phantom.head import Head
from hemexp.phantom.mass_effect import largest_shift_mm, mean_shift_mm, ventricle_ml
from hemexp.phantom.model import (
    COURSE,
    GROWTH_PROBABILITIES,
    Case,
    Course,
    GrowthLaw,
    generator,
    growth_parts_ml,
    he_threshold_ml,
    mean_growth_ml,
)
from hemexp.phantom.outlines import outline
from hemexp.phantom.patient import describe_patient
from hemexp.phantom.scan import PhantomScan, take_scan
from hemexp.phantom.tissue import Session
from hemexp.phantom.world import WORLDS
from hemexp.provenance import describe, write_json, write_sidecars
from hemexp.settings import Phantom
from hemexp.volumes import Volume, volume_ml, write_volume


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
    world = WORLDS[settings.world]
    case, head, bleed = describe_patient(world, settings.seed, patient_id, center)
    grid = scanner_grid(center, settings.spacing_factor)
    pose = draw_pose(center, generator(settings.seed, patient_id, "pose"))
    motion = draw_motion(pose, generator(settings.seed, patient_id, "motion"))
    rng = generator(settings.seed, patient_id, COURSE)
    course = world.draw_course(case, rng)
    direction = draw_direction(bleed, rng)
    scanner = center.noise_hu, generator(settings.seed, patient_id, "noise"), center.kernel
    before_mm, after_mm = world.oedema_mm(case)
    first = Session(pose, case.baseline_iph_ml, before_mm)
    seen = take_scan(head, bleed, first, grid, *scanner)
    swelling = world.swelling(case, volume_ml(Volume(seen.ivh, grid[1])))
    # What an operation leaves is a small bleed of the same form, not one that grew backwards.
    grown = (None, None) if course.evacuated else (seen.extent, direction)
    later = Session(motion @ pose, course.left_ml, after_mm, *grown, swelling)
    scans = dict(zip(SESSIONS, (seen, take_scan(head, bleed, later, grid, *scanner)), strict=True))
    truth = _case_truth(case, bleed, world.law(case), course, settings.truth_draws)
    truth |= {"center": center.name, **_motion_truth(pose, motion)}
    for (name, scan), session in zip(scans.items(), (first, later), strict=True):
        truth[name] = _scan_truth(scan, grid[1], head, bleed, session)
    return scans, grid[1], truth


def _case_truth(
    case: Case, bleed: Shape, law: GrowthLaw, course: Course, points: int
) -> dict[str, Any]:
    return {
        **asdict(case),
        "site": bleed.site,
        "side": bleed.side,
        "center_mm": bleed.center_mm.tolist(),
        "growth_direction": bleed.direction.tolist(),
        **asdict(course),
        "p_expansion": law.p_expansion,
        "expanded": int(course.growth_ml >= he_threshold_ml(case.baseline_iph_ml)),
        "growth_mean_ml": mean_growth_ml(law, points),
        "growth_quantiles_ml": law.quantile(GROWTH_PROBABILITIES).tolist(),
        "growth_parts_ml": growth_parts_ml(law).tolist(),
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
    scan: PhantomScan, affine: NDArray[np.float64], head: Head, bleed: Shape, session: Session
) -> dict[str, float]:
    images = ("iph", "ivh", "brain")
    measured = {f"{name}_ml": volume_ml(Volume(getattr(scan, name), affine)) for name in images}
    effect = head, bleed.center_mm, session.volume_ml, session.swelling
    return {
        **measured,
        "ventricle_ml": ventricle_ml(*effect),
        "midline_shift_mm": -bleed.side * mean_shift_mm(*effect),
        "midline_largest_mm": -bleed.side * largest_shift_mm(*effect),
        "model_iph_ml": session.volume_ml,
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
    place = find_center(center, WORLDS[settings.world].centers)
    scans, affine, truth = draw_scans(patient_id, place, settings)
    images = []
    for session, scan in scans.items():
        rng = generator(settings.seed, patient_id, "outline", session)
        iph, ivh = outline(place.outlines, scan.ct, scan.iph, scan.ivh, rng)
        files = layout.raw(patient_id, session)
        for path, data in zip(files, (scan.ct, iph, ivh), strict=True):
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
