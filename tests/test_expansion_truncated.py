"""Growth of patients who were picked by a threshold: the law behind the cut, or a reason."""

import numpy as np
import pytest
from scipy.stats import truncnorm

from hemexp.expansion.truncated import LOG_SD_ENDS, fit_lognormal, fit_seen

MEAN, SLOPE, LOG_SD, BEGIN = 1.8, 0.3, 0.6, np.log(6.0)


def expanders(n):
    """(x, ln growth, ln threshold) of a law of which more than half lies below 6 mL."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    mean = MEAN + SLOPE * x
    growth = truncnorm.rvs((BEGIN - mean) / LOG_SD, np.inf, mean, LOG_SD, random_state=rng)
    return x, growth, np.full(n, BEGIN)


def mean_growth_ml(law):
    """At x = 0, of the law cut at 6 mL, by simulation."""
    cut = truncnorm((BEGIN - law[0]) / law[2], np.inf, law[0], law[2])
    return np.exp(cut.ppf((np.arange(5000) + 0.5) / 5000)).mean()


def test_the_law_behind_the_cut_is_found():
    patients = expanders(8000)
    law = fit_lognormal(*patients)
    assert law[:3] == pytest.approx((MEAN, SLOPE, LOG_SD), abs=0.04) and law.note == ""
    # Mean and SD as seen are those of the cut law: cut once more, it grows by 0.7 mL too much.
    truth_ml = mean_growth_ml((MEAN, SLOPE, LOG_SD))
    assert mean_growth_ml(law) == pytest.approx(truth_ml, abs=0.2)
    assert mean_growth_ml(fit_seen(*patients[:2])) - truth_ml == pytest.approx(0.72, abs=0.15)


def test_each_patient_has_a_threshold_of_its_own():
    x, _, _ = expanders(8000)
    mean, begin = MEAN + SLOPE * x, np.minimum(BEGIN, 1.5 + x)
    growth = truncnorm.rvs((begin - mean) / LOG_SD, np.inf, mean, LOG_SD, random_state=1)
    law = fit_lognormal(x, growth, begin)
    assert law[:3] == pytest.approx((MEAN, SLOPE, LOG_SD), abs=0.04)


@pytest.mark.parametrize(
    ("n", "above", "reason"),
    [
        (1, 0.3, "fewer than 5 patients (1)"),
        (4, 0.3, "fewer than 5 patients (4)"),
        (40, 0.0, "of 40 patients has no peak"),  # all at the threshold
        (40, None, "of 40 patients has no peak"),  # falls like a power of growth
    ],
)
def test_what_has_no_likely_law_is_taken_as_seen_with_a_reason(n, above, reason):
    x, _, begin = expanders(n)
    tail = -np.log1p(-(np.arange(n) + 0.5) / n) if above is None else np.full(n, above)
    law = fit_lognormal(x, begin + tail, begin)
    assert reason in law.note
    assert law[:3] == fit_seen(x, begin + tail)[:3]
    assert np.isfinite(law[:3]).all() and LOG_SD_ENDS[0] <= law.log_sd <= LOG_SD_ENDS[1]


def test_the_same_volume_for_all_has_no_slope():
    _, growth, begin = expanders(200)
    law = fit_lognormal(np.zeros(200), growth, begin)
    assert law.slope == 0 and law.note == "" and np.isfinite(law.log_sd)
