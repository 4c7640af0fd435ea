"""Published effects on expansion, to which few patients' own are pulled."""

import numpy as np
from numpy.typing import NDArray

PUBLISHED_EFFECTS = {
    "ln_onset": float(np.log(0.50)),
    "anticoagulant": float(np.log(3.48)),
    "antiplatelet": float(np.log(1.68)),
}
"""Change of logit p(expansion) per unit of a predictor: logarithms of the odds ratios of
Al-Shahi Salman et al., Lancet Neurol 2018, 17:885 (5435 patients, growth above 6 mL). What is
published per what, and what is read into it: method.md 5.
"""


def published_weights(
    names: tuple[str, ...], sd: tuple[float, ...], raw: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Published effects per SD of the training patients, 0 where there is none.

    Args:
        names: Predictors.
        sd: Their SDs, 1 where all patients are alike.
        raw: (n, names) predictors, NaN where unknown. What is unknown for all has no zero point
            that an effect could count from, and none is given.
    """
    effects = np.array([PUBLISHED_EFFECTS.get(name, 0.0) for name in names])
    return np.where(np.isnan(raw).all(axis=0), 0.0, effects * np.array(sd))
