"""Rigid registration of one scan of a patient to the other, on bone and brain, without the bleed.

Full HU drive the match (bone is what does not change between the scans); the metric is Mattes
mutual information inside the head, outside both bleeds. Matrices are 4 x 4 in RAS mm.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from hemexp import Fault, HemexpError
from hemexp.preprocess.coarse import block_factors, coarsen, crop, mask_box
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import Scan, read_mask, read_scan
from hemexp.preprocess.transforms import itk_from_matrix, matrix_from_itk, to_itk, write_transform
from hemexp.provenance import write_sidecars
from hemexp.settings import Registration as RegistrationSettings
from hemexp.volumes import Volume

HU_RANGE = (-200.0, 1200.0)
"""Fat to dense bone; what lies outside says nothing about the position of the head."""

HEAD_MM = 15.0
"""The metric looks this far round the brain: skull and scalp, not jaw, neck or head holder."""

BLEED_MM = 5.0
"""Left out of the metric round each bleed: growth and oedema move there."""

SEED = 1
"""Of the jitter of the metric's sampling points: the same pair always gives the same matrix."""


@dataclass(frozen=True)
class Registration:
    """A rigid map between two scans of one patient.

    Attributes:
        matrix: 4 x 4, RAS mm: takes a point of the fixed scan to the moving scan.
        centre_mm: Centre of the fixed brain (RAS), about which the motion is told.
        metric: Mattes mutual information at the end, negated by ITK: lower is better.
    """

    matrix: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    metric: float

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
        moving_brain: Its brain mask; the centres of both masks are the start.
        settings: Levels, steps and sampling.

    Returns:
        The map, its size and the final metric.
    """
    # Sums over threads end in other last digits; the verb has one thread of its own anyway.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed_mask, moving_mask = fixed.ct.with_data(fixed_brain), moving.ct.with_data(moving_brain)
    starts = _starts(fixed_mask, moving_mask)
    transform = starts[0]
    for level, voxel_mm in enumerate(settings.voxel_mm):
        method = _method(settings, level)
        target, mask = _prepare(fixed, fixed_brain, voxel_mm)
        method.SetMetricFixedMask(mask)
        source, mask = _prepare(moving, moving_brain, voxel_mm)
        method.SetMetricMovingMask(mask)
        if level == 0:
            transform = min(starts, key=lambda start: _metric(method, start, target, source))
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(target, source)
    centre_mm, _ = _moments(fixed_mask)
    return Registration(matrix_from_itk(transform), centre_mm, float(method.GetMetricValue()))


def _starts(fixed_brain: Volume, moving_brain: Volume) -> list[sitk.Euler3DTransform]:
    """Two starts: brain centre on brain centre, and the main axes turned onto each other too."""
    centre, axes = _moments(fixed_brain)
    aim, aim_axes = _moments(moving_brain)
    starts = []
    for rotation in (np.eye(3), aim_axes @ axes.T):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation, aim - rotation @ centre
        starts.append(itk_from_matrix(matrix, centre))
    return starts


def _moments(mask: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (RAS mm) and main axes (3 x 3, columns nearest to +R, +A, +S) of a mask."""
    points = np.argwhere(mask.data) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    _, vectors = np.linalg.eigh(np.cov(points.T))
    order = linear_sum_assignment(-np.abs(vectors))[1]
    axes = vectors[:, order]
    axes = axes * np.sign(np.diag(axes))
    # A mirror is no motion: where the signs made one, the first axis follows from the others.
    axes[:, 0] = np.cross(axes[:, 1], axes[:, 2])
    return points.mean(0), axes


def _method(settings: RegistrationSettings, level: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(settings.histogram_bins)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(settings.sampling_fraction[level], SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        settings.learning_rate, settings.min_step, settings.iterations, settings.relaxation
    )
    method.SetOptimizerScalesFromPhysicalShift()
    # The images come at the level's voxel size: ITK's own pyramid would shrink thick slices too.
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([settings.smoothing_mm[level]])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _metric(
    method: sitk.ImageRegistrationMethod,
    start: sitk.Euler3DTransform,
    fixed: sitk.Image,
    moving: sitk.Image,
) -> float:
    method.SetInitialTransform(start)
    return method.MetricEvaluate(fixed, moving)


def _prepare(
    scan: Scan, brain: NDArray[np.bool_], voxel_mm: float
) -> tuple[sitk.Image, sitk.Image]:
    """The head on coarser voxels, cropped, and the mask of where the metric looks."""
    box = mask_box(brain, HEAD_MM, scan.ct.spacing_mm)
    factors = block_factors(scan.ct.spacing_mm, voxel_mm)
    ct, inside, blood = (
        coarsen(crop(scan.ct.with_data(data), box), factors)
        for data in (np.clip(scan.ct.data, *HU_RANGE), brain, scan.blood)
    )
    mm = ct.spacing_mm
    head = ndimage.distance_transform_edt(inside.data <= 0.5, sampling=mm) <= HEAD_MM
    calm = ndimage.distance_transform_edt(blood.data == 0, sampling=mm) > BLEED_MM
    return to_itk(ct), to_itk(ct.with_data((head & calm).astype(np.uint8)))


def run_register_followup(
    patient_id: str,
    baseline: Mapping[str, Path | str],
    followup: Mapping[str, Path | str],
    transform: Path | str,
    qc: Path | str,
    settings: RegistrationSettings,
    reference: str,
) -> None:
    """Registers the two scans of a patient; writes the transform and one row of quality control.

    Args:
        patient_id: Patient of the sample sheet.
        baseline: Files of the baseline scan: `ct`, `iph`, `ivh` and its native `brain` mask.
        followup: The same of the follow-up.
        transform: ITK transform to write: maps a baseline point to the follow-up point,
            whichever of the two is the reference.
        qc: One-row table to write: patient_id rotation_deg translation_mm registration_metric.
        settings: Levels, steps and sampling.
        reference: The session that is held fixed, `baseline` or `followup`.

    Raises:
        HemexpError: A scan cannot be used, or no overlap was found.
    """
    started = time.perf_counter()
    files = {"baseline": baseline, "followup": followup}
    scans, brains = {}, {}
    for session, paths in files.items():
        names = (paths["ct"], paths["iph"], paths["ivh"])
        scans[session] = read_scan(patient_id, session, *names)
        brains[session] = read_mask(Path(paths["brain"])).data
    moving = "followup" if reference == "baseline" else "baseline"
    try:
        found = register(
            scans[reference], brains[reference], scans[moving], brains[moving], settings
        )
    except RuntimeError as error:
        raise HemexpError(
            Fault(f"patient {patient_id}, {baseline['ct']} and {followup['ct']}",
                  f"no registration ({str(error).splitlines()[-1].strip()})", 
                  "two heads that overlap", "Look at both scans and their brain masks.")
        ) from error  # fmt: skip
    matrix = found.matrix if reference == "baseline" else np.linalg.inv(found.matrix)
    write_transform(transform, matrix, found.centre_mm)
    row = {"rotation_deg": found.rotation_deg, "translation_mm": found.translation_mm}
    write_row(qc, {"patient_id": patient_id, **row, "registration_metric": found.metric})
    write_sidecars(
        [transform, qc], verb="register-followup", settings=settings.as_json(), started=started,
        inputs=[*baseline.values(), *followup.values()], reference=reference, sampling_seed=SEED,
    )  # fmt: skip
