"""How many patients went which way: screened, excluded, used for what, scored."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import LEFT_OUT
from hemexp.reporting.reader import Reader

SPLITS = ("train", "val", "test", "predict")


@dataclass(frozen=True)
class SplitFlow:
    """Patients of one split, after exclusions.

    Attributes:
        kept: All of them.
        followed: Those with a follow-up.
        expanded: Those with HE.
        forecast: Those of whom follow-ups were drawn as a forecast.
        scored: Those whose forecasts are compared with what happened.
    """

    kept: int
    followed: int
    expanded: int
    forecast: int
    scored: int


@dataclass(frozen=True)
class Flow:
    """Patients of a run.

    Attributes:
        screened: Rows of the sheet.
        centers: Centres among those kept.
        excluded: By the step that could not use them.
        splits: By name, in the order of `SPLITS`; those without a patient are left out.
    """

    screened: int
    centers: int
    excluded: dict[str, int]
    splits: dict[str, SplitFlow]

    @property
    def kept(self) -> int:
        """All who were used."""
        return sum(split.kept for split in self.splits.values())

    @property
    def scored(self) -> int:
        """All who were scored."""
        return sum(split.scored for split in self.splits.values())


def count_flow(
    qc: pd.DataFrame,
    excluded: pd.DataFrame,
    outcomes: pd.DataFrame,
    volumes: pd.DataFrame,
    forecast: Iterable[str],
) -> Flow:
    """Counts patients, and checks that the counts add up.

    Args:
        qc: `qc.tsv`: holds every row of the sheet that is used.
        excluded: `excluded.tsv`.
        outcomes: `outcomes.tsv`, indexed by patient.
        volumes: `evaluation/volumes.tsv`: the scored patients.
        forecast: Patients who are forecast.

    Raises:
        HemexpError: A patient is in none of the tables of those kept and those excluded, or in
            both, or was scored but not kept.
    """
    out = set(excluded["patient_id"])
    # Of who is left out by the sheet no scan was looked at.
    screened = set(qc["patient_id"]) | set(excluded["patient_id"][excluded["step"].isin(LEFT_OUT)])
    kept, scored = set(outcomes.index), set(volumes["patient_id"])
    _check(screened, out, kept, scored)
    rows = outcomes.assign(
        scored=outcomes.index.isin(scored), forecast=outcomes.index.isin(list(forecast))
    )
    splits = {
        name: SplitFlow(
            len(part),
            int(part["followup_iph_ml"].notna().sum()),
            int(part["he"].sum()),
            int(part["forecast"].sum()),
            int(part["scored"].sum()),
        )
        for name in SPLITS
        if len(part := rows[rows["split"] == name])
    }
    steps = {step: int(n) for step, n in excluded["step"].value_counts(sort=False).items()}
    return Flow(len(screened), outcomes["center"].nunique(), steps, splits)


def _check(screened: set[str], out: set[str], kept: set[str], scored: set[str]) -> None:
    strays = (out & kept) | (screened ^ (out | kept)) | (scored - kept)
    if strays:
        raise HemexpError(
            Fault(
                f"patient {', '.join(sorted(strays))} of qc.tsv, excluded.tsv, outcomes.tsv "
                "and evaluation/volumes.tsv",
                "tables of different runs: kept, excluded and scored patients do not add up",
                "every patient of qc.tsv in one of excluded.tsv and outcomes.tsv",
                "Run the workflow again: `snakemake` makes what is out of date.",
            )
        )


def read_flow(reader: Reader) -> Flow:
    """Counts the patients of a run."""
    layout, outcomes = reader.layout, reader.outcomes()
    files = (layout.qc, layout.excluded, layout.evaluation("volumes"))
    qc, excluded, volumes = (reader.table(path) for path in files)
    return count_flow(qc, excluded, outcomes, volumes, reader.forecast_volumes(outcomes.index))
