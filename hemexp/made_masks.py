"""Masks that the workflow made: which they are, and which of them a person accepted."""

import json
from collections.abc import Mapping
from pathlib import Path

from hemexp import Fault, HemexpError
from hemexp.layout import Layout
from hemexp.provenance import hash_file, hash_value, sidecar_path

GIVEN = "given"
"""Source of a mask that the sheet names; others are `network` and `command`."""

MADE_BY = "segment-scan"
"""The verb that makes masks, as their sidecars name it."""

ACCEPTED = ("patient_id", "session", "masks")
"""Columns of `accepted_masks.tsv`; `masks` is the hash of both masks that were looked at."""


def mask_source(layout: Layout, patient_id: str, session: str) -> str:
    """Where a scan's masks come from, as their sidecar says: `given`, `network` or `command`."""
    sidecar = sidecar_path(layout.native(patient_id, session).iph)
    if not sidecar.exists():
        return GIVEN
    record = json.loads(sidecar.read_text(encoding="utf-8"))
    return record["settings"]["method"] if record["verb"] == MADE_BY else GIVEN


def hash_masks(layout: Layout, patient_id: str, session: str) -> str:
    """Hash of a scan's IPH and IVH mask files."""
    native = layout.native(patient_id, session)
    return hash_value([hash_file(native.iph), hash_file(native.ivh)])


def accepted_file(samples: Path | str) -> Path:
    """Where accepted masks are listed: beside the sheet, so that results may be deleted."""
    return Path(samples).with_name("accepted_masks.tsv")


def read_accepted(path: Path) -> dict[tuple[str, str], str]:
    """Hashes of accepted masks by patient and session; none without the file.

    Raises:
        HemexpError: It is not such a table.
    """
    if not path.exists():
        return {}
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    for number, line in enumerate(lines, 1):
        if len(line) != len(ACCEPTED) or (number == 1 and tuple(line) != ACCEPTED):
            raise HemexpError(
                Fault(
                    f"{path}, line {number}",
                    " ".join(line),
                    f"the columns {', '.join(ACCEPTED)}, parted by tabs",
                    "Correct the line, or delete it and run `hemexp accept-masks` again.",
                )
            )
    return {(patient_id, session): masks for patient_id, session, masks in lines[1:]}


def accepted_text(accepted: Mapping[tuple[str, str], str]) -> str:
    """The table as text, sorted by patient and session."""
    lines = [ACCEPTED, *((*scan, masks) for scan, masks in sorted(accepted.items()))]
    return "".join("\t".join(line) + "\n" for line in lines)
