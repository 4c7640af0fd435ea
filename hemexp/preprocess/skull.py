"""The brain on a non-contrast CT: thresholds and morphology, united with the haemorrhage.

The thresholds follow Muschelli et al. 2015 (NeuroImage 114:379); the surface that they fit with
BET is replaced by what the skull encloses, opened and closed by sizes in millimetres.
"""

import time
from pathlib import Path

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from hemexp import Fault
from hemexp.preprocess.coarse import block_factors, coarsen, mask_box, refine
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import name_faults, read_given_brain, read_scan
from hemexp.provenance import write_sidecars
from hemexp.settings import SkullStrip
from hemexp.volumes import ImageError, Volume, volume_ml, write_volume

SOFT_HU = (-20.0, 100.0)
"""Brain, CSF and clot: above fat, below bone (Muschelli: 0-100; noise takes CSF below 0)."""

COARSE_MM = 2.0
"""The skull is searched on voxels of about this size: what is cut and closed is larger."""

BONE_FRACTION = 0.25
"""A coarse voxel is skull from this part of bone on, so that thin bone still closes."""


def strip_skull(ct: Volume, iph: Volume, ivh: Volume, settings: SkullStrip) -> NDArray[np.bool_]:
    """Delineates the soft tissue inside the skull: brain, CSF and blood.

    Args:
        ct: Head CT in HU, any axis order.
        iph: IPH mask on the same grid.
        ivh: IVH mask on the same grid.
        settings: Threshold in HU and sizes in mm.

    Returns:
        Mask (x, y, z) that holds every voxel of the two haemorrhage masks.

    Raises:
        ImageError: The image holds no soft tissue enclosed by bone.
    """
    soft = (ct.data > SOFT_HU[0]) & (ct.data < SOFT_HU[1])
    factors = block_factors(ct.spacing_mm, COARSE_MM)
    bone = coarsen(ct.with_data(ct.data > settings.bone_hu), factors)
    tissue = coarsen(ct.with_data(soft), factors).data > 0.5
    inside = _inside_skull(bone.data > BONE_FRACTION, tissue, bone.spacing_mm, settings)
    smooth = ndimage.gaussian_filter(
        soft.astype(np.float32), settings.smooth_mm / ct.spacing_mm, truncate=3
    )
    brain = refine(ndimage.binary_dilation(inside), factors, ct.data.shape) & (smooth > 0.5)
    brain = brain | iph.data | ivh.data
    return brain | (_fill_slices(brain, ct.affine) & (ct.data < settings.bone_hu))


def _inside_skull(
    bone: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
    settings: SkullStrip,
) -> NDArray[np.bool_]:
    """The largest piece of tissue walled in by bone, with the ways out of it cut.

    The core is what lies deeper than `open_mm`; growing it back to half as far again fills
    the corners of the skull but follows the spinal canal for a short way only.
    """
    box = mask_box(bone, 2 * settings.close_mm, spacing_mm)
    skull = _close(bone[box], settings.close_mm, spacing_mm)
    walls = _count_walls(skull)
    room = tissue[box] & ~skull
    depth_mm = ndimage.distance_transform_edt(room & (walls >= 5), sampling=spacing_mm)
    core = _largest(depth_mm > settings.open_mm)
    if not (bone.any() and core.any()):
        raise ImageError(
            Fault("skull", f"no soft tissue enclosed by bone above {settings.bone_hu:g} HU",
                  "a head CT with its skull, in HU",
                  "Look at the scan; `preprocess.skull_strip` holds the threshold and sizes.")
        )  # fmt: skip
    away_mm = ndimage.distance_transform_edt(~core, sampling=spacing_mm)
    inside = np.zeros(bone.shape, dtype=bool)
    # Four walls are enough beside the core: brain under a craniotomy misses one or two.
    inside[box] = _largest(room & (walls >= 4) & (away_mm <= 1.5 * settings.open_mm))
    return inside


def _count_walls(skull: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Along how many of the six axis directions bone is met: 5 or 6 inside the skull."""
    count = np.zeros(skull.shape, dtype=np.int8)
    for axis in range(3):
        count += np.maximum.accumulate(skull, axis=axis)
        count += np.flip(np.maximum.accumulate(np.flip(skull, axis), axis=axis), axis)
    return count


def _close(
    mask: NDArray[np.bool_], radius_mm: float, spacing_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    wide = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= radius_mm
    return (ndimage.distance_transform_edt(wide, sampling=spacing_mm) > radius_mm) | mask


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    return labels == 1 + sizes[1:].argmax()


def _fill_slices(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Fills what the mask encloses in each axial slice (dense clot, calcified plexus)."""
    through = int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0])
    plane = ndimage.generate_binary_structure(3, 1)
    plane[tuple(slice(0, 3, 2) if axis == through else 1 for axis in range(3))] = False
    rim = [(0, 0) if axis == through else (1, 1) for axis in range(3)]
    labels, _ = ndimage.label(~np.pad(mask, rim), plane)
    edge = labels.take(0, axis=(through + 1) % 3)
    outside = np.isin(labels, np.unique(edge[edge > 0]))
    return ~outside[tuple(slice(before, -before or None) for before, _ in rim)]


def run_strip_skull(
    patient_id: str,
    session: str,
    ct: Path | str,
    iph: Path | str,
    ivh: Path | str,
    mask: Path | str,
    volumes: Path | str,
    settings: SkullStrip,
    brain: Path | str | None = None,
) -> None:
    """Checks one scan, writes its native brain mask and its native volumes.

    Args:
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        ct: Head CT in HU.
        iph: Its IPH mask.
        ivh: Its IVH mask.
        mask: Brain mask to write.
        volumes: One-row table to write: patient_id session iph_ml ivh_ml brain_ml.
        settings: Skull-strip settings.
        brain: A brain mask given by the study; the blood is added to it.

    Raises:
        ImageError: The scan cannot be used; the message names the patient and the file.
    """
    started = time.perf_counter()
    scan = read_scan(patient_id, session, ct, iph, ivh)
    if brain:
        found = read_given_brain(patient_id, session, brain, scan).data | scan.blood
    else:
        try:
            found = strip_skull(scan.ct, scan.iph, scan.ivh, settings)
        except ImageError as error:
            faults = name_faults(error.faults, patient_id, f"{session} ct, {ct}")
            raise ImageError(*faults) from error
    write_volume(mask, found, scan.ct.affine, np.uint8)
    row = {"iph_ml": scan.iph, "ivh_ml": scan.ivh, "brain_ml": scan.ct.with_data(found)}
    measured = {name: volume_ml(volume) for name, volume in row.items()}
    write_row(volumes, {"patient_id": patient_id, "session": session, **measured})
    inputs = [ct, iph, ivh, *([brain] if brain else [])]
    write_sidecars(
        [mask, volumes], verb="strip-skull", settings=settings.as_json(), inputs=inputs,
        started=started, method="given" if brain else settings.method,
    )  # fmt: skip
