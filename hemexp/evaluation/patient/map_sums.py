"""Sums over the voxels of a probability map, from which all its scores follow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
EMPTY_REGION = "the region holds no voxel"
CLIMATOLOGY = "climatology_distance"
"""The map that every other has to beat, as tables name it: see `distance_climatology`."""

SUMS = ("n", "p", "y", "pp", "py", "yy", "nll")
"""Voxels, and sums of forecast, truth, their products, and negative log-likelihood (nats)."""

PATIENT_MAPS = ("patient_id", "model", "indicator", "region", "reference", "bin", *SUMS)
"""Columns of a patient's `maps.tsv`."""


def map_sums(
    forecast: NDArray, truth: NDArray, region: NDArray, least: float
) -> list[dict[str, Any]]:
    """Sums over the voxels of a region, a row a bin of the forecast.

    Args:
        forecast: Probability map.
        truth: What happened (0/1) or the true probability.
        region: Voxels that count.
        least: The log-likelihood sees the forecast cut to [least, 1 - least]: 1 / (2 K), for a
            map of K samples does not mean its zeros.

    Returns:
        `bin` and the sums named in `SUMS`, for bins that hold a voxel.
    """
    p, y = (np.asarray(image, dtype=np.float64)[region] for image in (forecast, truth))
    cut = np.clip(p, least, 1 - least)
    nll = -(y * np.log(cut) + (1 - y) * np.log1p(-cut))
    # A map on disk is float32: 0.3 read back must fall in the bin of 0.3.
    place = np.minimum((p * BINS + 1e-5).astype(int), BINS - 1)
    columns = (np.ones_like(p), p, y, p * p, p * y, y * y, nll)
    sums = np.stack([np.bincount(place, weights=one, minlength=BINS) for one in columns], axis=1)
    return [
        {"bin": b} | dict(zip(SUMS, map(float, row), strict=True))
        for b, row in enumerate(sums)
        if row[0]
    ]
