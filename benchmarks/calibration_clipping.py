"""How far probabilities must be cut before a calibration slope: the figure behind `LEAST`.

Forecasts are calibrated, so that the slope is 1. A model says p itself; samples say the share of
50 draws that show the event, so a p of 1 % often reads 0. Many patients, so that chance is small.
"""

import numpy as np
from scipy.special import expit

from hemexp.statistics.calibration import fit_rows

COHORTS, PATIENTS, SAMPLES = 200, 300, 50
CUTS = (1e-6, 1e-3, 0.01, 0.05)
SPREADS = (1.0, 2.0)
"""SD of the logit of p over patients; its mean is -1: about a third expand."""


def main() -> None:
    """Prints median and root mean square error of the slope, which should be 1."""
    rng = np.random.default_rng(1)
    print("forecast\tsd_logit\tcut\tmedian_slope\trmse")
    for spread in SPREADS:
        p = expit(rng.normal(-1, spread, (COHORTS, PATIENTS)))
        event = rng.uniform(size=p.shape) < p
        for name, said in (("model", p), ("50 samples", rng.binomial(SAMPLES, p) / SAMPLES)):
            for cut in CUTS:
                slope = fit_rows(said, event.astype(float), cut)[:, 1]
                rmse = np.sqrt(np.nanmean((slope - 1) ** 2))
                print(f"{name}\t{spread:g}\t{cut:g}\t{np.nanmedian(slope):.3f}\t{rmse:.3f}")


if __name__ == "__main__":
    main()
