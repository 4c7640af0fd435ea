"""How far off the volume of a found mask is expected to be."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import GammaRegressor

from hemexp.mask_error import FLOOR_ML, VolumeError, log_features

PENALTY = 0.01
"""Pull of the slopes towards 0, so that a handful of scans gives a constant."""


def fit_volume_error(
    volume_ml: ArrayLike, entropy_ml: ArrayLike, error_ml: ArrayLike
) -> VolumeError:
    """Fits the expected error to found masks whose true volume is known.

    A gamma regression of squared errors with a logarithmic link: for errors that are normal, of
    mean 0, it is maximum likelihood of their variance. What is biased counts as error, too.

    Args:
        volume_ml: (n,) as found.
        entropy_ml: (n,) of the same masks.
        error_ml: (n,) found minus true volume.
    """
    squared = np.square(np.asarray(error_ml, dtype=float)).clip(FLOOR_ML**2)
    fitted = GammaRegressor(alpha=PENALTY, max_iter=1000).fit(
        log_features(volume_ml, entropy_ml), squared
    )
    slopes = (float(slope) / 2 for slope in fitted.coef_)
    return VolumeError(float(fitted.intercept_) / 2, *slopes, len(squared))
