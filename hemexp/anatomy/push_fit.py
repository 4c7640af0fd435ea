"""How strongly growth pushes, fitted to the midlines and ventricles of training pairs.

Midline shift of a pair = unit shift x (amplitude growth + oedema baseline volume) + noise, where
the unit shift (mm per mL of push) is its field's. Amplitudes differ between patients. A pair in
twenty is something else: a drain, an operation, a measure that failed; its shift may be anything.
Both spreads are chosen by their posterior on a grid of values. Priors are weak: a cohort of some
ten expanders outweighs them, an odd pair does not, and without any expander they are the answer.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.anatomy.push import BackMap, Mask, back_map, solve_push

SINKS_PER_MM2 = (0.0, 1e-3, 3e-3, 5e-3, 1e-2)
"""Candidates for the ventricles' uptake; the third stands where ventricles tell nothing."""

PROBE_ML = 10.0
"""Push at which the ventricles' change is read: what a bleed that grows by some 6 mL pushes."""

PRIOR_AMPLITUDE, PRIOR_AMPLITUDE_SE = 1.2, 0.4
"""Fits on phantoms of several laws lay between 1.0 and 2.2."""

PRIOR_OEDEMA_SE = 0.1
"""Of the oedema about 0, mL of push per mL of bleed: a day's perihaematomal oedema is some tenths
of the bleed's volume, and part of it stands at baseline."""

PRIOR_NOISE_MM, PRIOR_AMPLITUDE_SD = 0.15, 0.3
"""Error of the midline measure on phantoms, and spread of amplitudes: medians of log-normal priors
with a log SD of `PRIOR_LOG_SD`."""

PRIOR_LOG_SD = 0.4
PRIOR_VENTRICLE, PRIOR_VENTRICLE_SE = -0.12, 0.1
"""Ventricle change per mL of growth, and how far that is trusted."""

NOISES_MM, AMPLITUDE_SDS = np.geomspace(0.05, 1.5, 16), np.geomspace(0.05, 0.8, 12)
"""Spreads that are tried."""

LEAST_SHIFT_MM = 0.2
"""Midline shift that the measure can see: a pair tells of the amplitude from here on."""

ODD_PART, ODD_MM = 0.05, 5.0
"""Part of pairs whose shift says nothing of their push; all are as likely as one up to here."""

ROUNDS = 6
"""Of telling odd pairs from the others and fitting these."""

SURE = 2.0
"""Oedema is kept when it is this many standard errors above 0."""

WIDEST = 2.0
"""Amplitudes are drawn within this many SD."""


@dataclass(frozen=True)
class PushPairs:
    """Training pairs, n of them, and what their fields foretell for each candidate sink.

    Attributes:
        growth_ml: IPH growth, (n,).
        baseline_ml: IPH volume at baseline, (n,).
        shift_mm: Measured midline shift, signed along x, (n,).
        ventricle_ml: Measured change of the ventricles, (n,).
        unit_shift_mm: Foretold shift per mL of push, (n, sinks).
        unit_ventricle_ml: Foretold change per mL of push, (n, sinks).
    """

    growth_ml: NDArray[np.float64]
    baseline_ml: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    ventricle_ml: NDArray[np.float64]
    unit_shift_mm: NDArray[np.float64]
    unit_ventricle_ml: NDArray[np.float64]


@dataclass(frozen=True)
class PushModel:
    """What a mL of growth pushes.

    Attributes:
        amplitude: mL of push per mL of growth, mean over patients.
        amplitude_sd: Its SD between patients, measurement noise taken off.
        amplitude_se: Standard error of the mean.
        oedema: mL of push per mL of baseline IPH that comes without growth; 0 unless sure.
        sink_per_mm2: Uptake of the ventricles.
        noise_mm: SD of the midline measure.
        patients: Pairs given.
        odd: Those whose shift is more probably something else.
        prior: What was assumed, not fitted, in words; None when the pairs told all.
    """

    amplitude: float
    amplitude_sd: float
    amplitude_se: float
    oedema: float
    sink_per_mm2: float
    noise_mm: float
    patients: int
    odd: int
    prior: str | None

    def push_ml(
        self, growth_ml: ArrayLike, baseline_ml: ArrayLike, standard_normal: ArrayLike = 0.0
    ) -> NDArray[np.float64]:
        """Push of samples.

        Args:
            growth_ml: IPH growth; negative pulls.
            baseline_ml: IPH volume at baseline.
            standard_normal: A draw for each, which says how strongly this one pushes, known no
                better than the fit knows; 0 is the mean.
        """
        spread = float(np.hypot(self.amplitude_sd, self.amplitude_se))
        drawn = self.amplitude + spread * np.clip(standard_normal, -WIDEST, WIDEST)
        return np.maximum(drawn, 0) * np.asarray(growth_ml) + self.oedema * np.asarray(baseline_ml)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        return cls(**record)


def unit_effects(
    iph: Mask,
    ventricles: Mask,
    brain: Mask,
    spacing_mm: ArrayLike,
    plane: Mask,
    change_ml: Callable[[BackMap], float],
) -> tuple[list[float], list[float]]:
    """What 1 mL of push does to a baseline, for each of `SINKS_PER_MM2`.

    The midline's shift is the field's; the ventricles' change is measured on a warp by `PROBE_ML`,
    as it is between two scans: warped on voxels and measured, thin ventricles shrink by little
    more than half of what the equation says.

    Args:
        iph: IPH of the baseline (x, y, z).
        ventricles: Its ventricles.
        brain: Its brain.
        spacing_mm: Voxel size, by axis.
        plane: Where the midline was measured: `midline_plane` with the blood of both scans.
        change_ml: Measures the change of the ventricles from the baseline to its warp.

    Returns:
        Midline shift in mm and ventricle change in mL, by sink.
    """
    shifts, changes = [], []
    for sink in SINKS_PER_MM2:
        field = solve_push(iph, ventricles, brain, spacing_mm, sink)
        back = back_map(field, PROBE_ML)
        shifts.append(field.mean_shift_mm(plane))
        changes.append(change_ml(back) / back.push_ml if back.push_ml else 0.0)
    return shifts, changes


def fit_push(pairs: PushPairs) -> PushModel:
    """Fits the push to training pairs; the sink is the candidate whose ventricles change truest.

    Args:
        pairs: Of split `train` alone.

    Raises:
        ValueError: A number of the pairs is not finite.
    """
    if not all(np.isfinite(values).all() for values in vars(pairs).values()):
        raise ValueError("pairs of the push hold numbers that are not finite")
    fits = [_fit_shift(pairs, unit) for unit in pairs.unit_shift_mm.T]
    wanted, told = _ventricle_slope(pairs)
    foretold = [
        _slope(pairs.growth_ml, unit * (fit.amplitude * pairs.growth_ml))
        for fit, unit in zip(fits, pairs.unit_ventricle_ml.T, strict=True)
    ]
    best = int(np.argmin(np.abs(np.subtract(foretold, wanted))))
    if not np.any(pairs.unit_ventricle_ml):
        best = 2
    fit = fits[best]
    seen = np.abs(pairs.unit_shift_mm[:, best] * pairs.growth_ml) >= LEAST_SHIFT_MM
    assumed = [
        *(["amplitude: no pair with a midline shift that can be measured"] * (not seen.any())),
        *(["ventricles: too few or too uneven to tell their change"] * (not told)),
    ]
    return PushModel(
        **fit._asdict(),
        sink_per_mm2=SINKS_PER_MM2[best],
        patients=int(pairs.growth_ml.size),
        prior="; ".join(assumed) or None,
    )


class _ShiftFit(NamedTuple):
    amplitude: float
    amplitude_sd: float
    amplitude_se: float
    oedema: float
    noise_mm: float
    odd: int


def _fit_shift(pairs: PushPairs, unit: NDArray[np.float64]) -> _ShiftFit:
    """Fits midline shifts on those of 1 mL, (n,); without oedema where it is not sure."""
    effects = np.stack([unit * pairs.growth_ml, unit * pairs.baseline_ml], axis=1)
    found = _most_probable(effects, pairs.shift_mm)
    if found.mean[1] < SURE * found.errors[1]:
        found = _most_probable(effects[:, :1], pairs.shift_mm)
    return _ShiftFit(
        amplitude=max(float(found.mean[0]), 0.0),
        amplitude_sd=found.amplitude_sd,
        amplitude_se=float(found.errors[0]),
        oedema=float(found.mean[1]) if found.mean.size > 1 else 0.0,
        noise_mm=found.noise_mm,
        odd=found.odd,
    )


class _Posterior(NamedTuple):
    mean: NDArray[np.float64]
    errors: NDArray[np.float64]
    noise_mm: float
    amplitude_sd: float
    odd: int


def _most_probable(effects: NDArray[np.float64], shift_mm: NDArray[np.float64]) -> _Posterior:
    """Coefficients of effects (n, 1 or 2) at the most probable spreads of the grid.

    All spreads are tried at once: arrays have an axis (spreads,) before that of the pairs.
    """
    size = effects.shape[1]
    prior = np.array([PRIOR_AMPLITUDE, 0.0])[:size]
    precision = np.diag([PRIOR_AMPLITUDE_SE**-2, PRIOR_OEDEMA_SE**-2])[:size, :size]
    noise_mm, sd = (part.ravel() for part in np.meshgrid(NOISES_MM, AMPLITUDE_SDS))
    variance = noise_mm[:, None] ** 2 + (sd[:, None] * effects[:, 0]) ** 2
    mean = np.tile(prior, (sd.size, 1))
    for _ in range(ROUNDS):
        density, regular = _mixture(shift_mm - mean @ effects.T, variance)
        weighted = effects.T * (regular / variance)[:, None]
        curvature = weighted @ effects + precision
        pulled = weighted @ shift_mm + precision @ prior
        mean = np.linalg.solve(curvature, pulled[..., None])[..., 0]
    log_density = density - 0.5 * (
        np.einsum("si,ij,sj->s", mean - prior, precision, mean - prior)
        + np.linalg.slogdet(curvature)[1]
        + (np.log(noise_mm / PRIOR_NOISE_MM) / PRIOR_LOG_SD) ** 2
        + (np.log(sd / PRIOR_AMPLITUDE_SD) / PRIOR_LOG_SD) ** 2
    )
    best = int(np.argmax(log_density))
    errors = np.sqrt(np.diag(np.linalg.inv(curvature[best])))
    odd = int(np.count_nonzero(regular[best] < 0.5))
    return _Posterior(mean[best], errors, float(noise_mm[best]), float(sd[best]), odd)


def _mixture(
    miss_mm: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log density of residuals (spreads, n), and the probability of each to be no odd one."""
    normal = np.exp(-0.5 * miss_mm**2 / variance) / np.sqrt(2 * np.pi * variance)
    regular, odd = (1 - ODD_PART) * normal, ODD_PART / (2 * ODD_MM)
    return np.log(regular + odd).sum(axis=-1), regular / (regular + odd)


def _ventricle_slope(pairs: PushPairs) -> tuple[float, bool]:
    """Ventricle change per mL of growth, drawn to its prior, and whether the pairs outweigh it."""
    growth, change = pairs.growth_ml, pairs.ventricle_ml
    spread = float(growth @ growth)
    if growth.size < 2 or spread == 0:
        return PRIOR_VENTRICLE, False
    slope = _slope(growth, change)
    variance = float(((change - slope * growth) ** 2).sum()) / (growth.size - 1) / spread
    variance = max(variance, 1e-12)
    trust = PRIOR_VENTRICLE_SE**2 / (PRIOR_VENTRICLE_SE**2 + variance)
    return PRIOR_VENTRICLE + trust * (slope - PRIOR_VENTRICLE), trust >= 0.5


def _slope(growth_ml: NDArray[np.float64], change: NDArray[np.float64]) -> float:
    """Least-squares slope through the origin; 0 without any growth."""
    return float(growth_ml @ change / max(growth_ml @ growth_ml, 1e-12))
