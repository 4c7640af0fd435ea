"""Rigid registration of one scan of a patient to the other, on bone and brain, without the bleed.

Full HU drive the match (bone is what does not change between the scans). A fit beyond the limits
is tried again from other starts; then it is a fault: another patient's scan looks like that.
Matrices are 4 x 4 in RAS mm.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.preprocess.fit import SEED, Level, compare, descend, make_levels, make_starts, moments
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import Scan, read_scan
from hemexp.preprocess.thumbnails import draw_pair, write_png
from hemexp.preprocess.transforms import matrix_from_itk, write_transform
from hemexp.provenance import write_sidecars
from hemexp.settings import Registration as RegistrationSettings
from hemexp.volumes import volume_ml

TURNS_DEG = ((20, 0, 0), (-20, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 20), (0, 0, -20))
"""Further starts for a fit that failed: the head turned about each axis of the scanner."""


@dataclass(frozen=True)
class Registration:
    """A rigid map between two scans of one patient.

    Attributes:
        matrix: 4 x 4, RAS mm: takes a point of the fixed scan to the moving scan.
        centre_mm: Centre of the fixed brain (RAS), about which the motion is told.
        metric: Mattes mutual information at the end, negated by ITK: lower is better.
        correlation: Of HU in both heads outside the bleeds, after alignment; 1 is the best.
        overlap: How much of the smaller head lies on the other one, 0-1.
    """

    matrix: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    metric: float
    correlation: float
    overlap: float

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation about its own axis."""
        cosine = (np.trace(self.matrix[:3, :3]) - 1) / 2
        return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))

    @property
    def translation_mm(self) -> float:
        """How far the centre of the brain moved."""
        return float(np.linalg.norm((self.matrix @ [*self.centre_mm, 1])[:3] - self.centre_mm))


def register(
    fixed: Scan,
    fixed_brain: NDArray[np.bool_],
    moving: Scan,
    moving_brain: NDArray[np.bool_],
    settings: RegistrationSettings,
) -> Registration:
    """Finds the rigid map from the fixed to the moving scan.

    Runs on one thread with a fixed seed, so that a pair gives the same matrix everywhere.

    Args:
        fixed: Reference scan.
        fixed_brain: Its brain mask (x, y, z).
        moving: The other scan, on any grid.
        moving_brain: Its brain mask; centres and axes of both masks give the starts.
        settings: Levels, steps, sampling and limits.

    Returns:
        The first fit within the limits, or else the most alike: see `beyond_limits`.

    Raises:
        RuntimeError: From ITK; the heads do not overlap from any start.
    """
    # Sums over threads end in other last digits; the verb has one thread of its own anyway.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    masks = fixed.ct.with_data(fixed_brain), moving.ct.with_data(moving_brain)
    levels = make_levels(fixed, fixed_brain, moving, moving_brain, settings)
    tried, failures = [], []
    for turn_deg in ((0, 0, 0), *TURNS_DEG):
        try:
            found = _fit(levels, make_starts(*masks, turn_deg), moments(masks[0])[0], settings)
        except RuntimeError as error:
            failures.append(error)
            continue
        if not beyond_limits(found, settings):
            return found
        tried.append(found)
    if not tried:
        raise failures[0]
    return max(tried, key=lambda found: found.correlation)


def _fit(
    levels: list[Level],
    starts: list[sitk.Euler3DTransform],
    centre_mm: NDArray[np.float64],
    settings: RegistrationSettings,
) -> Registration:
    transform, metric = descend(levels, starts)
    likeness = compare(levels[-1], transform, settings.smoothing_mm[-1])
    return Registration(matrix_from_itk(transform), centre_mm, metric, *likeness)


def beyond_limits(found: Registration, settings: RegistrationSettings) -> list[str]:
    """Which limits of the settings a fit breaks, in words; empty for a good fit.

    The translation has none: scanners put their origins decimetres apart.
    """
    broken = []
    if found.correlation < settings.least_correlation:
        broken.append(
            f"correlation {found.correlation:.3f} (least_correlation "
            f"{settings.least_correlation:g})"
        )
    if found.overlap < settings.least_overlap:
        broken.append(f"overlap {found.overlap:.2f} (least_overlap {settings.least_overlap:g})")
    if found.rotation_deg > settings.largest_rotation_deg:
        broken.append(
            f"rotation {found.rotation_deg:.1f} deg (largest_rotation_deg "
            f"{settings.largest_rotation_deg:g})"
        )
    return broken


def pair_faults(
    patient_id: str,
    files: Mapping[str, Path | str],
    iph_ml: Mapping[str, float],
    ivh_ml: Mapping[str, float],
    settings: RegistrationSettings,
) -> list[Fault]:
    """A fault if the bleed shrank as no bleed does within days, else nothing.

    Two readings of a bleed differ by a few mL or by a tenth, and blood that broke into the
    ventricles is not lost: so both limits must be broken by what left the brain altogether. That
    finds a swapped pair when its bleed really grew by half or more.

    Args:
        patient_id: For the message.
        files: File to name for `baseline` and `followup`.
        iph_ml: Native IPH volume of `baseline` and `followup`.
        ivh_ml: Native IVH volume of both.
        settings: `largest_shrinkage` (part of the baseline IPH) and `largest_shrinkage_ml`.
    """
    before_ml, after_ml = iph_ml["baseline"], iph_ml["followup"]
    lost_ml = before_ml - after_ml - max(0.0, ivh_ml["followup"] - ivh_ml["baseline"])
    part = lost_ml / before_ml if before_ml else 0.0
    if lost_ml <= settings.largest_shrinkage_ml or part <= settings.largest_shrinkage:
        return []
    return [
        Fault(
            f"patient {patient_id}, {files['baseline']} and {files['followup']}",
            f"an IPH of {before_ml:.1f} mL at baseline and {after_ml:.1f} mL at follow-up",
            "a bleed that stays or grows, or shrinks by no more than "
            f"{settings.largest_shrinkage:g} of itself or {settings.largest_shrinkage_ml:g} mL "
            "(largest_shrinkage and largest_shrinkage_ml of preprocess.registration)",
            "Are baseline and follow-up swapped in the sheet? After an operation there is no "
            "growth to learn: take the patient's follow-up out of the sheet.",
        )
    ]


def run_register_followup(
    patient_id: str,
    baseline: Mapping[str, Path | str],
    followup: Mapping[str, Path | str],
    outputs: Mapping[str, Path | str],
    settings: RegistrationSettings,
    reference: str,
) -> None:
    """Registers the two scans of a patient; writes the transform and its quality control.

    Args:
        patient_id: Patient of the sample sheet.
        baseline: Native files of the baseline scan: `ct`, `iph`, `ivh` and `brain`.
        followup: The same of the follow-up.
        outputs: Files to write: `transform` (ITK; maps a baseline point to the follow-up point,
            whichever of the two is the reference), `picture` (PNG, a checkerboard), and `qc`, a
            one-row table: patient_id rotation_deg translation_mm registration_metric correlation
            overlap.
        settings: Levels, steps, sampling and limits.
        reference: The session that is held fixed, `baseline` or `followup`.

    Raises:
        HemexpError: A scan cannot be read, the bleed shrank, or the two heads do not match.
    """
    started = time.perf_counter()
    files = {"baseline": baseline, "followup": followup}
    scans, brains = {}, {}
    for session, paths in files.items():
        scans[session], brains[session] = read_scan(patient_id, session, paths)
    names = {session: paths["ct"] for session, paths in files.items()}
    iph_ml, ivh_ml = (
        {session: volume_ml(getattr(scan, image)) for session, scan in scans.items()}
        for image in ("iph", "ivh")
    )
    if faults := pair_faults(patient_id, names, iph_ml, ivh_ml, settings):
        raise HemexpError(*faults)
    moving = "followup" if reference == "baseline" else "baseline"
    pair = scans[reference], brains[reference], scans[moving], brains[moving]
    where = f"patient {patient_id}, {names['baseline']} and {names['followup']}"
    found = _register_or_tell(where, pair, settings)
    matrix = found.matrix if reference == "baseline" else np.linalg.inv(found.matrix)
    write_transform(outputs["transform"], matrix, found.centre_mm)
    fixed, brain = scans[reference], brains[reference]
    masks = {"brain": brain, "iph": fixed.iph.data, "ivh": fixed.ivh.data}
    board = draw_pair(fixed.ct, masks, scans[moving].ct, found.matrix)
    write_png(outputs["picture"], board)
    row = {"rotation_deg": found.rotation_deg, "translation_mm": found.translation_mm}
    row |= {"registration_metric": found.metric}
    row |= {"correlation": found.correlation, "overlap": found.overlap}
    write_row(outputs["qc"], {"patient_id": patient_id, **row})
    write_sidecars(
        outputs.values(),
        verb="register-followup",
        settings=settings.as_json(),
        started=started,
        inputs=[*baseline.values(), *followup.values()],
        reference=reference,
        sampling_seed=SEED,
    )


def _register_or_tell(
    where: str,
    pair: tuple[Scan, NDArray[np.bool_], Scan, NDArray[np.bool_]],
    settings: RegistrationSettings,
) -> Registration:
    """Registers a pair; a fit beyond the limits is told with what was found and expected."""
    failure = None
    try:
        found = register(*pair, settings)
        broken = beyond_limits(found, settings)
    except RuntimeError as error:
        failure, broken = error, [f"no overlap ({str(error).splitlines()[-1].strip()})"]
    if not broken:
        return found
    raise HemexpError(
        Fault(
            where,
            f"two heads that do not match from any start: {', '.join(broken)}",
            f"two scans of one head: correlation at least {settings.least_correlation:g}, overlap "
            f"at least {settings.least_overlap:g}, rotation at most "
            f"{settings.largest_rotation_deg:g} deg (preprocess.registration)",
            "Look at both scans and their brain masks: is one another patient's, or cut short?",
        )
    ) from failure
