"""How much memory a scan needs, from headers alone: a cluster ends a job that takes more.

Peaks of `strip-skull`, measured as maximum resident size with one thread: 195 MB for
256 x 256 x 52 voxels, 330 MB for 512 x 512 x 32, 853 MB for 512 x 512 x 100, 2454 MB for
512 x 512 x 300; of `resample-scan` for the first three: 239, 327 and 650 MB.
"""

import math
from functools import lru_cache
from pathlib import Path

LEAST_MB = 2000
"""What most scans stay far below, and what is asked for where a size cannot be told."""

BASE_MB = 300
"""Python and its libraries take 100 MB."""

BYTES_PER_VOXEL = 36
"""Measured are 30 beyond the base."""

RESAMPLED = 1.5
"""A tilt of 20 degrees that is undone makes a head's grid this much larger."""


def needed_mb(voxels: float) -> int:
    """Memory in MB for a scan of so many voxels."""
    return max(LEAST_MB, math.ceil(BASE_MB + BYTES_PER_VOXEL * voxels / 1e6))


@lru_cache(maxsize=100_000)
def scan_mb(path: str) -> int:
    """Memory in MB for reading a CT and finding its brain, or resampling it.

    Args:
        path: NIfTI or NRRD file, DICOM folder, or one file of a DICOM series. What cannot be read
            gets the least: the job that reads it says why it cannot.
    """
    try:
        return needed_mb(_count_voxels(Path(path)))
    except Exception:  # of a broken header anything
        return LEAST_MB


def _count_voxels(path: Path) -> float:
    """Voxels of a NIfTI or NRRD file; of DICOM those of all files, were they like the first."""
    import nibabel as nib

    from hemexp.nrrd import NRRD_SUFFIXES, nrrd_shape
    from hemexp.preprocess.dicom.headers import read_headers
    from hemexp.preprocess.dicom.read import files_of, is_dicom

    if path.suffix.lower() in NRRD_SUFFIXES:
        return math.prod(nrrd_shape(path))
    if not is_dicom(path):
        return math.prod(nib.load(path).shape)
    files = files_of(path)
    for file in files:
        slices, _ = read_headers([file])
        if slices:
            return RESAMPLED * math.prod(slices[0].shape) * len(slices) * len(files)
    return 0
