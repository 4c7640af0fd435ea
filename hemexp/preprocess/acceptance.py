"""What the page of quality control says of masks that the workflow made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hemexp.layout import Layout
from hemexp.made_masks import GIVEN, hash_masks, read_accepted

SOURCE_WORDS = {"network": "the network", "command": "the study's own program"}
"""Who found a mask that is not given."""


class Acceptance(NamedTuple):
    """What a person said of made masks.

    Attributes:
        current: Hash of the masks as they are, by patient and session; of given ones none.
        accepted: Hash of the masks that were accepted.
    """

    current: Mapping[tuple[str, str], str]
    accepted: Mapping[tuple[str, str], str]

    def is_accepted(self, scan: Mapping[str, Any]) -> bool:
        """Whether just these masks of a row of `qc.tsv` were accepted."""
        name = scan["patient_id"], scan["session"]
        return name in self.current and self.accepted.get(name) == self.current[name]

    def words(self, scan: Mapping[str, Any]) -> str:
        """Who found the masks of a scan, and whether they are accepted; empty for given ones."""
        name = scan["patient_id"], scan["session"]
        if name not in self.current:
            return ""
        start = f"masks found by {SOURCE_WORDS[scan['mask']]} (dashed)"
        if self.is_accepted(scan):
            return f"{start}, accepted"
        if name in self.accepted:
            return f"{start}; others were accepted, these are new: look at them again"
        return f"{start}, not accepted yet"


NO_MADE = Acceptance({}, {})
"""Of a run whose masks are all given."""


def masks_summary(qc: pd.DataFrame, masks: Acceptance) -> str:
    """How many scans have made masks, and how many of them are accepted; nothing without any."""
    if not masks.current:
        return ""
    accepted = sum(masks.is_accepted(scan) for scan in qc.to_dict("records"))
    return (
        f" {len(masks.current)} scans have masks that the workflow found (dashed contours), "
        f"{accepted} of them accepted. To accept one: <code>hemexp accept-masks --patient ID "
        "--session baseline</code>."
    )


def read_acceptance(layout: Layout, qc: pd.DataFrame, accepted: Path) -> Acceptance:
    """Hashes of all made masks of a run, and of those that a person accepted.

    Args:
        layout: Of the run.
        qc: `qc.tsv`; without a column `mask` all are given.
        accepted: `accepted_masks.tsv`, where there is one.
    """
    made = qc[~qc["mask"].isin((GIVEN, ""))] if "mask" in qc else qc.iloc[:0]
    scans = list(zip(made["patient_id"], made["session"], strict=True))
    current = {scan: hash_masks(layout, *scan) for scan in scans}
    return Acceptance(current, read_accepted(accepted) if scans else {})
