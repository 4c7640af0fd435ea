"""Haemorrhage masks as tools save them: one binary file each, or labels of a drawing program."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.remarks import Remark
from hemexp.settings import MaskLabels
from hemexp.volumes import ImageError, Volume, read_volume

SHOWN_VALUES = 5
"""So many values of a file stand in a message."""

BINARY = "0 and 1, or 0 and 255"
SET_MAP = (
    "If these are labels, say in config/config.yaml which is which, such as "
    "preprocess: {raw: {mask_labels: {iph: [1], ivh: [2]}}}; else export a binary mask for each "
    "kind of blood."
)


def read_mask(path: Path) -> Volume:
    """Reads a binary mask stored as 0/1 or 0/255, as bool.

    Raises:
        ImageError: The file is unreadable or holds other values.
    """
    mask = read_volume(path)
    values = _values(mask.data)
    if not _is_binary(values):
        raise _refusal(path, values, BINARY, "Export one binary mask.")
    return mask.with_data(mask.data != 0)


def read_blood_mask(
    path: Path, kind: str, labels: MaskLabels, *, shared: bool = False
) -> tuple[Volume, list[Remark]]:
    """Reads the mask of one kind of blood, as bool: a binary file, or its labels in a label file.

    A file of its own with the values 0/1 or 0/255 is that kind's mask, whatever the label map
    says. Any other file, and one that is named for IPH and IVH alike, is read by the map.

    Args:
        path: The file.
        kind: `iph` or `ivh`.
        labels: The label map; empty where the study gives binary masks alone.
        shared: Whether the file is named for both kinds.

    Returns:
        The mask, and the labels of the file that nobody reads.

    Raises:
        ImageError: The file is unreadable, soft, holds labels without a map, or none of this kind.
    """
    image = read_volume(path)
    values = _values(image.data)
    if _is_binary(values) and not shared:
        return image.with_data(image.data != 0), []
    if np.any(values != np.rint(values)) or not labels.iph:
        expected = "labels and a label map, for IPH and IVH share the file" if shared else BINARY
        raise _refusal(path, values, expected, SET_MAP)
    wanted, others = labels.of(kind), labels.of("ivh" if kind == "iph" else "iph")
    found = np.isin(image.data, wanted)
    # A label file without IVH is the commonest of all; one without IPH is a mistake.
    if not found.any() and (kind == "iph" or not shared):
        raise ImageError(
            Fault(
                str(path),
                f"{_labels_text(values)}, none of which is {kind.upper()}",
                f"{_labels_text(np.array(wanted))} (preprocess.raw.mask_labels.{kind})",
                "Correct the label map, or name the right file.",
            )
        )
    if shared and kind == "ivh":
        return image.with_data(found), []  # said with the IPH
    unread = np.setdiff1d(values, wanted + others if shared else wanted)
    return image.with_data(found), _unread_remarks(kind, unread, others)


def _unread_remarks(kind: str, unread: NDArray, others: list[int]) -> list[Remark]:
    """What is said of labels that are not read; those of the other kind of blood are doubtful."""
    if not len(unread):
        return []
    words = f"{_labels_text(unread)} in the file of the {kind.upper()} mask not used"
    return [Remark(words, doubtful=bool(np.isin(unread, others).any()))]


def _refusal(path: Path, values: NDArray, expected: str, cure: str) -> ImageError:
    shown = ", ".join(f"{value:g}" for value in values[:SHOWN_VALUES])
    more = ", ..." if len(values) > SHOWN_VALUES else ""
    found = f"a mask with the values 0 and {shown}{more}" if shown else "an empty mask"
    if len(values) and values.min() > 0 and values.max() <= 1 and not _is_binary(values):
        found, cure = f"{found}: a soft mask", "Cut it at 0.5 and save it as 0 and 1."
    return ImageError(Fault(str(path), found, expected, cure))


def _labels_text(values: NDArray) -> str:
    """`label 3`, `labels 2, 3`; `no label` of an empty file."""
    words = ", ".join(f"{value:g}" for value in values[:SHOWN_VALUES]) or "no label"
    return words if not len(values) else f"label{'s' * (len(values) > 1)} {words}"


def _values(data: NDArray) -> NDArray:
    """The values of a mask other than 0, ascending."""
    return np.unique(data[data != 0])


def _is_binary(values: NDArray) -> bool:
    """Whether a mask holds nothing but 0 and 1, or 0 and 255."""
    return len(values) == 0 or (len(values) == 1 and float(values[0]) in (1.0, 255.0))
