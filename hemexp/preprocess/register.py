"""Rigid registration of one scan of a patient to the other, on bone and brain, without the bleed.

Full HU drive the match (bone is what does not change between the scans). A fit beyond the limits
is tried again from other starts; then it is a fault: another patient's scan looks like that.
Matrices are 4 x 4 in RAS mm.
"""

import time
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.columns import OTHER_SESSION, SESSIONS
from hemexp.layout import Layout
from hemexp.preprocess.fit import SEED, Level, compare, descend, make_levels, make_starts, moments
from hemexp.preprocess.identity import same_pair_faults
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import NativeScan, read_native_scan
from hemexp.preprocess.shrinkage import pair_faults
from hemexp.preprocess.thumbnails import draw_pair, write_png
from hemexp.preprocess.transforms import matrix_from_itk, write_transform
from hemexp.provenance import write_sidecars
from hemexp.settings import Registration
from hemexp.volumes import volume_ml

TURNS_DEG = ((20, 0, 0), (-20, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 20), (0, 0, -20))
"""Further starts for a fit that failed: the head turned about each axis of the scanner."""


@dataclass(frozen=True)
class RigidFit:
    """A rigid map between two scans of one patient, and how well it fits.

    Attributes:
        matrix: 4 x 4, RAS mm: takes a point of the fixed scan to the moving scan.
        centre_mm: Centre of the fixed brain (RAS), whose motion `translation_mm` is.
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

    def measures(self) -> dict[str, float]:
        """The numbers of the quality control by column."""
        return {
            "rotation_deg": self.rotation_deg,
            "translation_mm": self.translation_mm,
            "registration_metric": self.metric,
            "correlation": self.correlation,
            "overlap": self.overlap,
        }


def register(
    fixed: NativeScan,
    fixed_brain: NDArray[np.bool_],
    moving: NativeScan,
    moving_brain: NDArray[np.bool_],
    settings: Registration,
) -> RigidFit:
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
    settings: Registration,
) -> RigidFit:
    transform, metric = descend(levels, starts)
    likeness = compare(levels[-1], transform, settings.smoothing_mm[-1])
    return RigidFit(matrix_from_itk(transform), centre_mm, metric, *likeness)


def beyond_limits(found: RigidFit, settings: Registration) -> list[str]:
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


def run_register_followup(
    layout: Layout, patient_id: str, settings: Registration, reference: str
) -> None:
    """Registers the two scans of a patient; writes the transform and its quality control.

    The transform maps a baseline point to the follow-up point, whichever of the two is the
    reference; the picture is a checkerboard; `qc` is a one-row table: patient_id rotation_deg
    translation_mm registration_metric correlation overlap.

    Args:
        layout: Of the run.
        patient_id: Patient of the sample sheet.
        settings: Levels, steps, sampling and limits.
        reference: The session that is held fixed, `baseline` or `followup`.

    Raises:
        HemexpError: A scan cannot be read, both are one scan, the bleed shrank, or the two heads
            do not match.
    """
    started, outputs = time.perf_counter(), layout.pair(patient_id)
    files = {session: layout.native(patient_id, session).images for session in SESSIONS}
    found = {session: read_native_scan(layout, patient_id, session) for session in SESSIONS}
    names = {session: images.ct for session, images in files.items()}
    iph_ml, ivh_ml = (
        {session: volume_ml(getattr(scan, image)) for session, (scan, _) in found.items()}
        for image in ("iph", "ivh")
    )
    where = f"patient {patient_id}, {names['baseline']} and {names['followup']}"
    if faults := same_pair_faults(where, *(found[session][0].ct for session in SESSIONS)):
        raise HemexpError(*faults)
    if faults := pair_faults(patient_id, names, iph_ml, ivh_ml, settings):
        raise HemexpError(*faults)
    (fixed, brain), (moving, moving_brain) = found[reference], found[OTHER_SESSION[reference]]
    fit = _register_or_refuse(where, (fixed, brain, moving, moving_brain), settings)
    matrix = fit.matrix if reference == "baseline" else np.linalg.inv(fit.matrix)
    write_transform(outputs.transform, matrix, fit.centre_mm)
    masks = {"brain": brain, "iph": fixed.iph.data, "ivh": fixed.ivh.data}
    write_png(outputs.picture, draw_pair(fixed.ct, masks, moving.ct, fit.matrix))
    write_row(outputs.qc, {"patient_id": patient_id, **fit.measures()})
    write_sidecars(
        outputs,
        verb="register-followup",
        settings=settings.as_json(),
        started=started,
        inputs=[path for images in files.values() for path in images],
        reference=reference,
        sampling_seed=SEED,
    )


def _register_or_refuse(
    where: str,
    pair: tuple[NativeScan, NDArray[np.bool_], NativeScan, NDArray[np.bool_]],
    settings: Registration,
) -> RigidFit:
    """Registers a pair; a fit beyond the limits is a fault that says what was found."""
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
