"""Verb `draw-cohort`: the sample sheet of a phantom cohort, such as the demo's."""

import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import REQUIRED, SESSIONS
from hemexp.layout import Layout
from hemexp.phantom.centers import CENTERS
from hemexp.phantom.world import WORLDS
from hemexp.provenance import write_text
from hemexp.settings import Phantom

FIRST_FINAL = 301
"""Number of the test centre from which patients are the final cohort (`config/final.yaml`)."""


class Size(NamedTuple):
    """How many patients a cohort has.

    Attributes:
        per_center: Patients in each centre.
        validation: How many of the training centres' patients are `val`: the last numbers.
        predict: How many of the last centre's patients have no follow-up: the last numbers.
        held_out: Patients of the last centre, the test centre; None: as many as in the others.
        first: Number of the test centre's first patient.
        unmasked: How many training patients have no masks: the last ones.
    """

    per_center: int = 10
    validation: int = 4
    predict: int = 2
    held_out: int | None = None
    first: int = 1
    unmasked: int = 0


def list_patients(size: Size) -> pd.DataFrame:
    """Names the patients of a cohort: the last centre is held out for testing.

    Args:
        size: How many.

    Returns:
        Columns patient_id, center, split; and masked, whether the sheet names the masks.

    Raises:
        HemexpError: No training patient is left, or no test patient; more are to be without masks
            than are trained on; or a cohort of development reaches into the final one.
    """
    *training, last = CENTERS
    per_center, validation, predict, held_out, first, unmasked = size
    held_out = per_center if held_out is None else held_out
    if validation < 0 or per_center * len(training) <= validation or held_out <= predict:
        raise HemexpError(
            Fault(
                "draw-cohort",
                f"--per-center {per_center} --held-out {held_out} --validation {validation}",
                f"more than {validation} patients in "
                f"{len(training)} training centres, more than {predict} in the test centre",
                "Ask for more patients.",
            )
        )
    learning = per_center * len(training) - validation
    if not 0 <= unmasked <= learning:
        raise HemexpError(
            Fault(
                "draw-cohort",
                f"--unmasked {unmasked}",
                f"0 to {learning}, the number of training patients",
                "Leave the masks of fewer patients empty.",
            )
        )
    if first < FIRST_FINAL < first + held_out:
        raise HemexpError(
            Fault(
                "draw-cohort",
                f"test patients {last}{first:02d} to {last}{first + held_out - 1}",
                f"numbers below {FIRST_FINAL}: from there on they are the final cohort, which is "
                "scored once",
                f"Give --held-out {FIRST_FINAL - first} or fewer.",
            )
        )
    numbers = range(1, per_center + 1)
    rows = [(f"{name}{number:02d}", name, "train") for number in numbers for name in training]
    rows = rows[:learning] + [(patient, name, "val") for patient, name, _ in rows[learning:]]
    splits = ["test"] * (held_out - predict) + ["predict"] * predict
    rows += [(f"{last}{i:02d}", last, split) for i, split in enumerate(splits, start=first)]
    table = pd.DataFrame(rows, columns=["patient_id", "center", "split"])
    table["masked"] = ~table.index.isin(range(learning - unmasked, learning))
    return table.sort_values("patient_id", ignore_index=True)


def run_draw_cohort(out: Path | str, settings: Phantom, size: Size) -> None:
    """Writes a sample sheet whose scans `run_draw_patient` makes.

    Args:
        out: The sheet, such as `config/samples.tsv`; an input of later runs, so it has no sidecar.
        settings: The phantom's settings.
        size: How many patients.
    """
    rows, layout, world = [], Layout(), WORLDS[settings.world]
    for _, patient in list_patients(size).iterrows():
        masked = patient.pop("masked")
        case = world.draw_case(settings.seed, patient["patient_id"], patient["center"])
        row = {**patient, **world.cells(settings.seed, case)}
        alone = patient["split"] == "predict" or row.get("died") == "1"
        for session in SESSIONS:
            for image, path in layout.raw(patient["patient_id"], session)._asdict().items():
                absent = (alone and session == "followup") or (image != "ct" and not masked)
                relative = Path(os.path.relpath(path, Path(out).parent)).as_posix()
                row[f"{session}_{image}"] = "" if absent else relative
        rows.append(row)
    further = [name for name in rows[0] if name not in REQUIRED]
    table = pd.DataFrame(rows)[[*REQUIRED, *further]]
    write_text(out, table.to_csv(sep="\t", index=False, lineterminator="\n"))
