"""How far off volumes and growth are expected to be where masks were found, and HE with them."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN, mask_source
from hemexp.outcomes import expansion_begins_ml, has_session
from hemexp.tables import read_table

MASKS = ("iph", "ivh")

OFFSET_ML = 0.1
"""Added to volume and entropy before their logarithm: of a mask without a voxel, too, something is
expected."""

FLOOR_ML = 0.05
"""Smallest error that is expected or learned from: some voxels of any scanner."""

UNMEASURED_PART = 0.1
"""Error of a program's volume that was held against no given mask: a tenth is assumed."""


@dataclass(frozen=True)
class VolumeError:
    """Expected error: log RMS = intercept + slopes times log volume and log entropy.

    Attributes:
        intercept: At a volume and an entropy of 1 mL, `OFFSET_ML` included.
        volume_slope: Of the logarithm of the found volume.
        entropy_slope: Of the logarithm of the entropy.
        scans: Scans that it was learned from.
    """

    intercept: float
    volume_slope: float
    entropy_slope: float
    scans: int

    def expected_error_ml(
        self, volume_ml: ArrayLike, entropy_ml: ArrayLike
    ) -> NDArray[np.float64]:
        """Root mean square of the error of a found volume, in mL, not below `FLOOR_ML`.

        Args:
            volume_ml: As found.
            entropy_ml: As `segment-scan` tells it of the same mask.
        """
        log_volume, log_entropy = log_features(volume_ml, entropy_ml).T
        log_rms = (
            self.intercept + self.volume_slope * log_volume + self.entropy_slope * log_entropy
        )
        return np.maximum(np.exp(log_rms), FLOOR_ML).reshape(np.shape(volume_ml))

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Takes it back."""
        return cls(**values)


def log_features(volume_ml: ArrayLike, entropy_ml: ArrayLike) -> NDArray[np.float64]:
    """Logarithms (n, 2) of volumes and entropies, which the error is learned from."""
    columns = [np.ravel(np.asarray(one, dtype=float)) for one in (volume_ml, entropy_ml)]
    return np.log(np.stack(columns, axis=1) + OFFSET_ML)


def read_volume_errors(layout: Layout) -> dict[str, VolumeError]:
    """The fitted models of `error_model.json` by mask, `iph` and `ivh`."""
    record = json.loads(layout.error_model.read_text(encoding="utf-8"))
    return {mask: VolumeError.from_json(values) for mask, values in record["masks"].items()}


class MaskDoubt(NamedTuple):
    """What is known of the masks of one scan.

    Attributes:
        source: `given`, `network` or `command`.
        iph_error_ml: Expected error of the IPH volume, RMS; 0 where it is given.
        ivh_error_ml: The same of IVH.
        note: What `segment-scan` says of the masks.
    """

    source: str = GIVEN
    iph_error_ml: float = 0.0
    ivh_error_ml: float = 0.0
    note: str = ""


def read_doubt(layout: Layout, patient_id: str, session: str) -> MaskDoubt:
    """Source and expected errors of a scan's masks.

    Raises:
        HemexpError: A network made the mask, and there is no model of its error.
    """
    source = mask_source(layout, patient_id, session)
    if source == GIVEN:
        return MaskDoubt()
    found = read_table(layout.segmentation(patient_id, session)).iloc[0]
    volumes_ml, entropies_ml = (
        [float(found[name.format(mask)]) for mask in MASKS] for name in ("{}_ml", "entropy_{}_ml")
    )
    if math.isnan(entropies_ml[0]):  # a program of the study's own does not say how sure it is
        errors_ml = [max(UNMEASURED_PART * volume_ml, FLOOR_ML) for volume_ml in volumes_ml]
    else:
        _refuse_unmeasured(layout, patient_id, session)
        models = read_volume_errors(layout)
        told = zip(MASKS, volumes_ml, entropies_ml, strict=True)
        errors_ml = [float(models[mask].expected_error_ml(*of_mask)) for mask, *of_mask in told]
    return MaskDoubt(source, *errors_ml, str(found["note"]))


def doubt_files(layout: Layout, patient_id: str, session: str) -> list[Path]:
    """The files behind `read_doubt`: none where the masks are given."""
    if mask_source(layout, patient_id, session) == GIVEN:
        return []
    files = [layout.segmentation(patient_id, session), layout.error_model]
    return [path for path in files if path.exists()]


def _refuse_unmeasured(layout: Layout, patient_id: str, session: str) -> None:
    if not layout.error_model.exists():
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {session}, {layout.error_model}",
                "no such file, although a network made the masks",
                "the model of the error of its volumes",
                "Run `hemexp score-segmentation`, or copy the file from the released models.",
            )
        )


def read_mask_errors(
    layout: Layout, patients: pd.DataFrame, sessions: tuple[str, ...] = SESSIONS
) -> pd.DataFrame:
    """Source and expected errors of the masks of given patients.

    Args:
        layout: Of the run.
        patients: Their rows of the sheet.
        sessions: Which scans to look at; a forecast must not look at the follow-up.

    Returns:
        `baseline_mask`, `baseline_error_ml` (of IPH), `baseline_ivh_error_ml`, and the same of
        `followup`, indexed by patient_id; an empty source and 0 mL where not looked at and for
        `predict` patients.
    """
    rows: dict[str, dict[str, str | float]] = {}
    for patient_id, split in patients["split"].items():
        rows[patient_id] = {}
        for session in SESSIONS:
            seen = session in sessions and has_session(split, session)
            doubt = read_doubt(layout, str(patient_id), session) if seen else MaskDoubt("")
            rows[patient_id] |= {
                f"{session}_mask": doubt.source,
                f"{session}_error_ml": doubt.iph_error_ml,
                f"{session}_ivh_error_ml": doubt.ivh_error_ml,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient_id")


def growth_error_ml(masks: pd.DataFrame, column: str = "error_ml") -> pd.Series:
    """Expected error of growth in mL: both volumes err, independently of each other.

    Args:
        masks: As `read_mask_errors` gives them: RMS, 0 where the mask is given.
        column: `error_ml` of IPH, or `ivh_error_ml`.
    """
    return np.hypot(*(masks[f"{session}_{column}"] for session in SESSIONS))


def label_certainty(
    growth_ml: ArrayLike, baseline_ml: ArrayLike, error_ml: ArrayLike
) -> NDArray[np.float64]:
    """Probability that HE is told rightly, of a growth with a normal error; NaN without growth.

    Args:
        growth_ml: As measured.
        baseline_ml: Baseline IPH volume.
        error_ml: Expected error of the growth, RMS; where it is 0, HE is certain.
    """
    away_ml = np.abs(np.asarray(growth_ml) - expansion_begins_ml(baseline_ml))
    error = np.asarray(error_ml, dtype=np.float64)
    certain = (error == 0) & ~np.isnan(away_ml)
    return np.where(certain, 1.0, ndtr(away_ml / np.where(error == 0, 1.0, error)))


def uncertain_expansion(outcomes: pd.DataFrame) -> pd.Series:
    """1 where growth lies within its expected error of the threshold of HE, else 0.

    NaN without a follow-up. Where both masks are given, no growth is uncertain.

    Args:
        outcomes: As `outcomes.expansion_outcomes` gives them, with `iph_error_ml`.
    """
    away_ml = np.abs(outcomes["growth_ml"] - expansion_begins_ml(outcomes["baseline_iph_ml"]))
    uncertain = (outcomes["iph_error_ml"] > 0) & (away_ml <= outcomes["iph_error_ml"])
    return uncertain.astype(float).where(outcomes["growth_ml"].notna())
