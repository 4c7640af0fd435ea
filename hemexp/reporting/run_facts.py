"""What a run can say of itself in sentences, for the model card and the checklists."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hemexp.outcomes import HE_ML, HE_RELATIVE, IVH_GROWTH_ML
from hemexp.provenance import sidecar_path
from hemexp.reporting.cells import number, score
from hemexp.reporting.flow import Flow, read_flow
from hemexp.reporting.methods import make_paragraphs
from hemexp.reporting.reader import Reader

INTENDED = (
    "Research on the growth of brain haemorrhage: follow-up scans are drawn from a baseline "
    "non-contrast CT, its masks and clinical values."
)
OUTPUT = (
    "Drawn follow-up scans with masks, their volumes, maps of new blood and a probability of "
    "expansion. No class is given and no threshold is set."
)
OUTCOME = (
    f"Expansion (HE): IPH growth of at least {HE_ML:g} mL or {100 * HE_RELATIVE:g} %, from masks "
    f"in native space. Revised (rHE): HE, new IVH, or IVH growth of at least {IVH_GROWTH_ML:g} mL."
)
NO_FORECAST = "No forecast was scored."
FEW = 100
"""Below so many patients a score is noisy, and validation guidance asks for at least as many
events (Collins 2016, Stat Med 35:214)."""


def say_counts(flow: Flow) -> str:
    """How many patients went which way."""
    splits = ", ".join(f"{split.kept} {name}" for name, split in flow.splits.items())
    return (
        f"{flow.screened} patients screened, {sum(flow.excluded.values())} excluded, "
        f"{flow.kept} analysed ({splits}), {flow.scored} scored."
    )


def say_events(flow: Flow) -> str:
    """Patients and expansions by split."""
    known = {name: split for name, split in flow.splits.items() if split.followed}
    if not known:
        return "No patient has a follow-up."
    each = (f"{name}: {split.expanded} of {split.followed}" for name, split in known.items())
    return f"Patients with expansion, of those with a follow-up: {'; '.join(each)}."


def say_excluded(flow: Flow) -> str:
    """How many were excluded at which step."""
    return ", ".join(f"{n} at {step}" for step, n in flow.excluded.items()) or "none"


def say_centers(outcomes: pd.DataFrame) -> str:
    """Patients by centre."""
    counts = outcomes["center"].value_counts().sort_index()
    return f"Centres: {', '.join(f'{name} ({n} patients)' for name, n in counts.items())}."


def say_external(outcomes: pd.DataFrame, scored: set[str]) -> str:
    """Whether the scored patients come from centres that trained nothing."""
    training = set(outcomes.loc[outcomes["split"] == "train", "center"])
    tested = set(outcomes.loc[outcomes.index.isin(scored), "center"])
    if not tested:
        return NO_FORECAST
    if not training:
        return "No patient of this run trained a model: all that is scored is external."
    new, known = sorted(tested - training), sorted(tested & training)
    parts = [f"centres without a training patient: {', '.join(new)}"] if new else []
    parts += [f"centres that trained, too: {', '.join(known)}"] if known else []
    return f"Scored patients come from {'; and from '.join(parts)}."


def say_volumes(forecasts: pd.DataFrame) -> str:
    """Scores of HemExp's forecasts of follow-up IPH volume, from `forecasts.tsv`."""
    rows = _pick(forecasts, model="hemexp", target="iph_ml")
    return " ".join(
        f"Follow-up IPH volume ({row['n']} patients, split {row['split']}, {row['k']} samples, "
        f"indicator {row['indicator']}): CRPS {score(row, 'crps', '_ml', 2)} mL, skill against "
        f"climatology {score(row, 'skill', '', 2)}, coverage of the 90 % interval "
        f"{number(row['coverage90'], 2)}."
        for row in rows
    )


def say_expansion(events: pd.DataFrame) -> str:
    """Scores of HemExp's probability of expansion, from `expansion.tsv`."""
    return " ".join(
        f"Expansion ({row['n_events']} of {row['n']} patients, split {row['split']}): AUC "
        f"{score(row, 'auc', '', 2)}, Brier score {score(row, 'brier', '', 3)}, observed over "
        f"expected {score(row, 'oe_ratio', '', 2)}."
        for row in _pick(events, model="hemexp", event="he")
    )


def say_maps(maps: pd.DataFrame) -> str:
    """Skill of HemExp's expansion maps round the bleed, from `maps.tsv`."""
    rows = _pick(maps, model="hemexp", region="band", reference="outcome")
    return " ".join(
        f"Expansion map round the bleed ({row['n']} patients, split {row['split']}): skill "
        f"against climatology by distance {score(row, 'skill', '', 2)}."
        for row in rows
    )


def say_limits(flow: Flow, phantoms: bool) -> str:
    """What the numbers of a run do not show."""
    found = []
    if phantoms:
        found.append("The cohort holds phantoms: their scores say nothing of patients.")
    training = flow.splits.get("train")
    if training is None:
        found.append("Nothing was trained here: the models were taken over.")
    elif training.kept < FEW:
        found.append(f"The models learned from {training.kept} patients only.")
    if flow.scored < FEW:
        found.append(f"{flow.scored} patients were scored: intervals are wide.")
    found.append(
        "A forecast holds for people like those in training and under their treatment; it is no "
        "effect of a treatment. Masks are taken as right. docs/explanation/limits.md lists "
        "the known limits of the method."
    )
    return " ".join(found)


def read_record(reader: Reader, name: str) -> Mapping[str, Any]:
    """The record of how a table of the evaluation came about, such as of `forecasts`."""
    path = sidecar_path(reader.layout.evaluation(name))
    reader.seen.append(path)
    return json.loads(path.read_text(encoding="utf-8"))


def read_facts(reader: Reader, seed: int) -> dict[str, str]:
    """Sentences by name, from the tables and records of a run.

    Args:
        reader: Of the results.
        seed: Run seed.
    """
    layout, outcomes, flow = reader.layout, reader.outcomes(), read_flow(reader)
    tables = {
        name: reader.table(layout.evaluation(name))
        for name in ("forecasts", "expansion", "maps", "volumes")
    }
    said = {
        "volume_scores": say_volumes(tables["forecasts"]),
        "expansion_scores": say_expansion(tables["expansion"]),
        "map_scores": say_maps(tables["maps"]),
    }
    paragraphs = make_paragraphs(layout)
    return {name.lower(): text for name, text in paragraphs.items()} | {
        "intended": INTENDED,
        "output": OUTPUT,
        "outcome": OUTCOME,
        "counts": say_counts(flow),
        "events": say_events(flow),
        "excluded": say_excluded(flow),
        "centers": say_centers(outcomes),
        "external": say_external(outcomes, set(tables["volumes"]["patient_id"])),
        **{name: text or NO_FORECAST for name, text in said.items()},
        "limits": say_limits(flow, layout.truths.exists()),
        "seed": str(seed),
        "bootstrap": str(read_record(reader, "forecasts")["settings"]["bootstrap"]),
    }


def _pick(table: pd.DataFrame, **keys: str) -> list[dict[str, Any]]:
    """Rows of all centres together with these values."""
    kept = table[table["center"] == "all"]
    for column, value in keys.items():
        kept = kept[kept[column] == value]
    # What knew the outcome is no forecast.
    return kept[kept["indicator"] != "oracle"].to_dict("records")
