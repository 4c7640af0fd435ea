"""Verb `write-bids`: what makes the results folder a BIDS derivatives dataset.

BIDS wants images in `sub-ID/ses-S/anat`; here they lie in the folder of the room that made them.
Masks and probability maps, which it has names for, are linked there. It has none for a CT, a drawn
follow-up, a model or a table of scores: `.bidsignore` lists the folders that hold these.
"""

import time
from pathlib import Path

import pandas as pd

from hemexp.layout import NOT_BIDS, Layout, patient_folder
from hemexp.notice import NOTICE
from hemexp.provenance import (
    describe,
    git_id,
    hash_file,
    versions,
    write_json,
    write_sidecars,
    write_text,
)
from hemexp.reporting.bids_links import link_images
from hemexp.reporting.patient_columns import INPUTS, PATIENT, QUALITY, Column
from hemexp.reporting.reader import Reader

BIDS_VERSION = "1.10.1"
"""Of the specification whose words are used here (bids-specification.readthedocs.io)."""

UNKNOWN = "n/a"
"""What BIDS writes into an empty cell."""

PARTICIPANT = {
    "participant_id": Column("Patient, as the sample sheet names them, behind a prefix"),
    **{name: column for name, column in PATIENT.items() if name != "patient_id"},
    **INPUTS,
    "excluded": QUALITY["excluded"],
}
"""Columns of `participants.tsv`: its data dictionary."""


def describe_participants(sheet: pd.DataFrame, excluded: list[str]) -> pd.DataFrame:
    """One row a patient of the sheet, as BIDS writes it.

    Args:
        sheet: All rows of the sheet, indexed by patient.
        excluded: Patients who were left out.
    """
    told = sheet.assign(
        participant_id=sheet["patient_id"].map(patient_folder),
        excluded=sheet.index.isin(excluded).astype(int),
    )
    return told.reindex(columns=[*PARTICIPANT]).replace("", pd.NA)


def describe_dataset(sheet: Path) -> dict[str, object]:
    """`dataset_description.json`: what made the files, in which version, from which sheet."""
    made = "; ".join(f"{name} {version}" for name, version in versions().items())
    return {
        "Name": "hemexp: drawn follow-ups of brain haemorrhage",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "hemexp",
                "Version": versions()["hemexp"],
                "Description": f"Commit {git_id()}. {made}. {NOTICE}",
            }
        ],
        "SourceDatasets": [{"URL": f"file:{sheet.name}", "Version": hash_file(sheet)}],
    }


def ignore_lines() -> str:
    """`.bidsignore`, in the words of a `.gitignore`."""
    why = "# Folders of rooms: what BIDS has names for is linked in sub-ID."
    return "".join(f"{line}\n" for line in (why, *(f"/{name}" for name in NOT_BIDS)))


def run_write_bids(layout: Layout, sheet: pd.DataFrame, samples: Path) -> None:
    """Writes `dataset_description.json`, `participants.tsv` and `.json`, `.bidsignore`, links.

    Args:
        layout: Of the run: who was excluded is read; masks and maps are linked.
        sheet: All rows of the sheet as `cohort.read_sheet` gives them.
        samples: The sheet's file.
    """
    started = time.perf_counter()
    reader = Reader(layout)
    excluded = reader.table(layout.excluded)["patient_id"].tolist()
    table = describe_participants(sheet, excluded)
    text = table.to_csv(
        sep="\t", index=False, na_rep=UNKNOWN, float_format="%.6g", lineterminator="\n"
    )
    write_text(layout.participants, text)
    record = {"verb": "write-bids", "settings": {}, "inputs": reader.seen, "started": started}
    columns = {name: column.as_json() for name, column in PARTICIPANT.items()}
    write_sidecars([layout.participants], **record, **columns)
    write_text(layout.bidsignore, ignore_lines())
    link_images(layout, sheet.index.difference(excluded))
    write_json(layout.dataset, describe_dataset(samples) | describe(**record))
