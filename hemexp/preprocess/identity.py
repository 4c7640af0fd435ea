"""Whether two scans are one: by their voxels, whatever their files and patients are called."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from hemexp import Fault
from hemexp.preprocess.hounsfield import HIGHEST_HU
from hemexp.volumes import Volume

LOWEST_HEAD_HU = -200
"""Air and padding are not counted: a copy may have other margins."""

HELD_APART = ("train", "val", "test")
"""Splits that must not share a scan: one is judged by what it has not seen."""

Scan = tuple[str, str]
"""Patient and session."""


def hash_voxels(ct: Volume) -> str:
    """A scan's identity: how often each whole HU occurs in the head, as 16 hexadecimal digits.

    Noise makes these counts unlike in any two acquisitions. The order of the axes, the format of
    the file and its margins do not change them.

    Args:
        ct: CT in HU.
    """
    values = np.clip(np.rint(ct.data), LOWEST_HEAD_HU, HIGHEST_HU).astype(int).ravel()
    counts = np.bincount(values - LOWEST_HEAD_HU)[1:]
    return hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()[:16]


def same_pair_faults(where: str, baseline: Volume, followup: Volume) -> list[Fault]:
    """A fault if a patient's follow-up is the baseline again.

    Args:
        where: Patient and both files, for the message.
        baseline: CT in HU.
        followup: CT in HU.
    """
    if hash_voxels(baseline) != hash_voxels(followup):
        return []
    return [
        Fault(
            where,
            "the same voxels in both scans",
            "two scans of one patient, taken at two times",
            "One is a copy of the other: name the follow-up's own file in the sheet, or set "
            "split to 'predict' and empty the follow-up's cells.",
        )
    ]


def find_twins(rows: Iterable[Mapping[str, Any]]) -> dict[Scan, list[Scan]]:
    """Scans whose voxels another scan has, each with those others.

    Args:
        rows: With `patient_id`, `session` and `voxels` (empty where a scan was not read).
    """
    same: dict[str, list[Scan]] = defaultdict(list)
    for row in rows:
        if row["voxels"]:
            same[row["voxels"]].append((row["patient_id"], row["session"]))
    return {
        scan: [other for other in scans if other != scan]
        for scans in same.values()
        if len(scans) > 1
        for scan in scans
    }


def twin_words(others: Iterable[Scan]) -> str:
    """The warning of a scan that other scans repeat."""
    named = " and ".join(f"the {session} of patient {name}" for name, session in others)
    return f"the same voxels as {named}"


def leak_faults(twins: Mapping[Scan, list[Scan]], splits: Mapping[str, str]) -> list[Fault]:
    """A fault for every two patients of unlike splits who share a scan.

    Args:
        twins: What `find_twins` gives.
        splits: Split by patient.
    """
    groups = {frozenset([scan, *others]) for scan, others in twins.items()}
    return [
        Fault(
            f"patient {one[0]}, {one[1]} ({splits[one[0]]})",
            f"the same voxels as patient {other[0]}, {other[1]} ({splits[other[0]]})",
            f"no scan in two of the splits {', '.join(HELD_APART)}",
            "One patient stands in the sheet under two names: keep one row.",
        )
        for group in sorted(map(sorted, groups))
        for one, other in combinations(group, 2)
        if splits[one[0]] != splits[other[0]]
        and {splits[one[0]], splits[other[0]]} <= {*HELD_APART}
    ]
