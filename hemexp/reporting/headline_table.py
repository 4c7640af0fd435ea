"""Verb `show-scores`: how good scored models are, in one table for the README."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.config import read_json
from hemexp.evaluation.cohort.paired_differences import BEST, best_tabular
from hemexp.layout import RESULTS, Layout
from hemexp.provenance import sidecar_path
from hemexp.reporting.cells import UNKNOWN, number
from hemexp.tables import read_table

SPLIT = "test"
MODELS = {
    "hemexp": "hemexp",
    "raw (before matching)": "hemexp_raw",
    "shell alone (no network)": "shell_alone",
    "best tabular": BEST,
    "climatology": "climatology",
    "copied baseline": "copy_baseline",
    "true distribution": "true_distribution",
}
"""Columns, and the models of the evaluation tables that they show."""

NOT_LEARNED = ("climatology", "copy_baseline", "true_distribution")
"""The same whichever models are scored: shown once."""

Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Line:
    """A row of the table: where its numbers stand.

    Attributes:
        words: Its name.
        table: Of `results/evaluation/`.
        wanted: What a row of that table holds, besides the model.
        ends: Columns of the number and of its interval's ends.
        gain: Whether less is better, and by how much less is shown.
        interval: Whether the interval is shown.
        models: Where that table calls a model otherwise; None: it has no such number.
    """

    words: str
    table: str
    wanted: dict[str, str]
    ends: tuple[str, str, str] = ("value", "low", "high")
    gain: bool = False
    interval: bool = True
    models: dict[str, str | None] = field(default_factory=dict)


def _expected(words: str, measure: str, reference: str = "none", **options: Any) -> Line:  # noqa: ANN401
    return Line(words, "expected", {"measure": measure, "reference": reference}, **options)


def _map_skill(words: str, models: dict[str, str | None]) -> Line:
    wanted, ends = (
        {"region": "band", "reference": "true_map"},
        ("skill", "skill_low", "skill_high"),
    )
    return Line(words, "maps", wanted, ends, models=models)


LINES = (
    _expected("CRPS of follow-up IPH, mL", "crps_ml"),
    _expected("less than climatology's by, mL", "crps_difference_ml", "climatology", gain=True),
    _expected("skill fraction", "skill_fraction", "true_distribution"),
    _expected("50 % intervals cover", "coverage50", interval=False),
    _expected("90 % intervals cover", "coverage90", interval=False),
    _expected("AUC of expansion (HE)", "auc"),
    # Matched volumes are the told ones: only what was decoded can miss.
    Line(
        "raw growth on told growth, slope",
        "consistency",
        {"measure": "raw_slope", "subset": "all"},
        models={"hemexp": None, "hemexp_raw": "hemexp"},
    ),
    _map_skill("skill of the map of new blood", {"climatology": "climatology_distance"}),
    _map_skill("the same, pooled", dict.fromkeys(MODELS.values()) | {"hemexp": "hemexp_pooled"}),
)
"""Scores against everything that might have happened: the phantom's true law and true map."""


def _seen(words: str, score: str, table: str = "forecasts", **options: Any) -> Line:  # noqa: ANN401
    unit = "_ml" if score.endswith("_ml") else ""
    name = score.removesuffix(unit)
    ends = (score, f"{name}_low{unit}", f"{name}_high{unit}")
    return Line(words, table, **{"wanted": {"target": "iph_ml"}, "ends": ends} | options)


def _share(words: str, column: str) -> Line:
    return _seen(words, column, ends=(column,) * 3, interval=False)


SEEN_LINES = (
    _seen("CRPS of follow-up IPH, mL", "crps_ml"),
    _seen("skill against climatology", "skill"),
    _share("50 % intervals cover", "coverage50"),
    _share("90 % intervals cover", "coverage90"),
    _seen("AUC of expansion (HE)", "auc", "expansion", wanted={"event": "he"}),
    next(line for line in LINES if line.table == "consistency"),
    *(
        replace(line, wanted=line.wanted | {"reference": "outcome"})
        for line in LINES
        if line.table == "maps"
    ),
)
"""The same against what happened, which is all that is known of a patient."""


def of_test(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of an evaluation table over all test patients."""
    return table[(table["split"] == SPLIT) & (table["center"] == "all")]


def find_estimate(line: Line, model: str, tables: Tables) -> tuple[float, float, float] | None:
    """Value, lower and upper end of one cell.

    Args:
        line: Row of the table for people.
        model: One of `MODELS`.
        tables: The evaluation tables of a run, by name.

    Returns:
        None where the model has no such number.
    """
    name = line.models.get(model, model)
    if name == BEST:  # in hindsight, as `expected.tsv` and `comparisons.tsv` define it
        name = best_tabular(_mean_crps(line, tables))
    rows = of_test(tables[line.table])
    for column, value in (line.wanted | {"model": name}).items():
        rows = rows[rows[column] == value]
    if rows.empty or pd.isna(rows[line.ends[0]].iloc[0]):
        return None
    value, low, high = (float(rows[column].iloc[0]) for column in line.ends)
    return (-value, -high, -low) if line.gain else (value, low, high)


def _mean_crps(line: Line, tables: Tables) -> dict[str, float]:
    """CRPS of every model, from the table that a line's scores are of one kind with."""
    if line in LINES:
        table, column = of_test(tables["expected"]).query("measure == 'crps_ml'"), "value"
    else:
        table, column = of_test(tables["forecasts"]).query("target == 'iph_ml'"), "crps_ml"
    return dict(zip(table["model"], table[column], strict=True))


def headline_cell(line: Line, model: str, runs: list[Tables]) -> str:
    """The numbers of all runs, and the interval of the first: `2.53, 2.55 [2.31, 2.78]`."""
    found = [find_estimate(line, model, tables) for tables in runs]
    if found[0] is None:
        return UNKNOWN
    shown = found[:1] if model in NOT_LEARNED else found
    numbers = ", ".join(number(one[0], 2) if one else UNKNOWN for one in shown)
    _, low, high = found[0]
    # Climatology's skill over itself has no spread, and an undefined end none to show.
    return (
        f"{numbers} [{number(low, 2)}, {number(high, 2)}]"
        if line.interval and low < high
        else numbers
    )


def headline_table(runs: list[Tables], lines: Sequence[Line] = LINES) -> pd.DataFrame:
    """The table for people.

    Args:
        runs: The evaluation tables of each run, by name; the first gives the intervals.
        lines: `LINES` or `SEEN_LINES`.

    Returns:
        A column a model, a row a line.
    """
    rows = {
        line.words: {words: headline_cell(line, model, runs) for words, model in MODELS.items()}
        for line in lines
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def as_markdown(table: pd.DataFrame) -> str:
    """A table with the index as its first column."""
    lines = [["", *table.columns], ["---"] * (1 + len(table.columns))]
    lines += [[name, *cells] for name, cells in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def describe_runs(layouts: list[Layout], first: Tables) -> str:
    """One sentence: how many patients and samples, which models, which commit and day."""
    expected = sidecar_path(layouts[0].evaluation("expected"))
    commit = read_json(expected.read_text(encoding="utf-8"))["git"]
    day = datetime.date.fromtimestamp(expected.stat().st_mtime)
    outcomes = read_table(layouts[0].outcomes)
    ids = [*outcomes["patient_id"][outcomes["split"] == SPLIT]]
    ours = of_test(first["forecasts"]).query("model == 'hemexp' and target == 'iph_ml'").iloc[0]
    models = []
    for layout in layouts:
        record = read_json(layout.network("diffusion").model.read_text(encoding="utf-8"))
        origin = record.get("released", record)
        models.append(f"commit {origin['git']} (seed {origin['seed']})")
    return (
        f"{ours['n']} test patients ({ids[0]} to {ids[-1]}), K = {ours['k']}. Models: "
        f"{' and '.join(models)}. Scored by commit {commit} on {day}. Intervals of 95 % are over "
        "patients, of the first models."
    )


def run_show_scores(layout: Layout) -> str:
    """The headline table of all scored models, as Markdown, with where it comes from.

    Args:
        layout: Of the folder below which `score-models` has run.

    Raises:
        HemexpError: No models were scored there.
    """
    folders = sorted(layout.scored_models("*").parent.glob("*"), key=lambda one: int(one.name))
    layouts = [Layout(folder / RESULTS) for folder in folders]
    first = Layout(layout.scored_models(1) / RESULTS)
    needed = [one.evaluation("expected") for one in layouts or [first]]
    missing = [path for path in needed if not path.is_file()]
    if missing:
        cure = "Run `hemexp score-models`, or `make final`: it resumes."
        raise HemexpError(Fault(str(missing[0]), "no such table", "a finished run", cure))
    names = {"forecasts", *(line.table for line in LINES)}
    runs = [{name: read_table(one.evaluation(name)) for name in names} for one in layouts]
    return f"{as_markdown(headline_table(runs))}\n\n{describe_runs(layouts, runs[0])}"
