"""IPH and IVH by a program of the study's own, run on one scan at a time.

nnU-Net, TotalSegmentator, BLAST-CT and others are alike in this: they read one CT and leave one
label file (docs/how-to/missing_masks.md).
"""

import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.nrrd import NRRD_SUFFIXES
from hemexp.preprocess.masks.grids import copy_voxels, on_one_grid
from hemexp.segmentation.network import IPH, IVH
from hemexp.settings import CommandLabels, Segmentation
from hemexp.volumes import ImageError, Volume, grid_distance_mm, read_volume, write_volume

INPUT, OUTPUT = "scan_0000.nii.gz", "labels.nii.gz"
"""Files of the scan and of its labels; nnU-Net reads nothing that does not end in its channel."""

IMAGE_SUFFIXES = (".nii", ".nii.gz", *NRRD_SUFFIXES)

LAST_LINES = 5
"""So much of what a failing program said stands in the message."""


def fill_in(template: str, folder: Path) -> list[str]:
    """The command with its paths: split as a shell would, before the paths come in.

    Args:
        template: `segmentation.command`.
        folder: Holds the folders `in` and `out`.
    """
    paths = {
        "{input}": folder / "in" / INPUT,
        "{output}": folder / "out" / OUTPUT,
        "{input_folder}": folder / "in",
        "{output_folder}": folder / "out",
    }
    words = shlex.split(template)
    for name, path in paths.items():
        words = [word.replace(name, str(path)) for word in words]
    return words


def run_program(words: list[str], where: str) -> str:
    """Runs a program to its end.

    Args:
        words: Program and arguments.
        where: For the messages.

    Returns:
        The last lines of what it said, in one line.

    Raises:
        ImageError: It is not there, cannot be run or fails.
    """
    try:
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _failure(where, f"a program {words[0]} that cannot be run ({error})") from error
    said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    last = " / ".join(said[-LAST_LINES:]) or "nothing"
    if done.returncode:
        found = f"{words[0]} ending with exit code {done.returncode}; it said: {last}"
        raise _failure(where, found)
    return last


def read_labels(
    folder: Path, ct: Volume, meaning: CommandLabels, where: str, said: str
) -> NDArray[np.uint8]:
    """The program's label file as this project's labels.

    A file whose voxels are the CT's, in any order of the axes or cropped, is taken; one on another
    grid is refused, for such a program resampled, or lost the header.

    Args:
        folder: Where the program writes.
        ct: The CT that it read.
        meaning: Of its labels.
        where: For the messages.
        said: The program's last lines, for the messages.

    Returns:
        (x, y, z) on the CT's grid: 0, 1 = IPH, 2 = IVH; all 0 where it found nothing.

    Raises:
        ImageError: There is no such file or several, it cannot be read, lies on another grid, or
            holds a label that nobody explained.
    """
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(IMAGE_SUFFIXES))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "no label file"
        raise _failure(where, f"{names} where the program writes; it said: {said}")
    try:
        image = read_volume(files[0])
    except ImageError as error:
        raise _failure(where, error.faults[0].found) from error
    known = [*meaning.iph, *meaning.ivh, *meaning.other]
    unknown = np.setdiff1d(np.unique(image.data), [0, *known])
    if len(unknown):
        raise ImageError(
            Fault(
                where,
                f"the label(s) {', '.join(f'{label:g}' for label in unknown[:LAST_LINES])}",
                f"{', '.join(map(str, sorted(known)))} (segmentation.command_labels)",
                "Name each under iph or ivh, or under other if it is to be left out.",
            )
        )
    labels = np.zeros(ct.data.shape, dtype=np.uint8)
    for kind, meant in ((IPH, meaning.iph), (IVH, meaning.ivh)):
        mask = copy_voxels(image.with_data(np.isin(image.data, meant)), ct)
        if not on_one_grid(mask, ct):
            distance_mm = grid_distance_mm(image, ct)
            found = f"labels of shape {image.data.shape}, {distance_mm:.3g} mm off the CT's grid"
            raise _failure(where, found)
        labels[mask.data] = kind
    return labels


def find_by_command(
    ct: Volume, brain: NDArray[np.bool_], settings: Segmentation, where: str
) -> NDArray[np.uint8]:
    """Labels of a scan as the study's own program marks it, inside the brain and outside.

    Args:
        ct: HU, any axis order.
        brain: Brain mask (x, y, z).
        settings: The command, what it reads and what its labels mean.
        where: Patient and session, for the messages.

    Returns:
        (x, y, z): 0, 1 = IPH, 2 = IVH.

    Raises:
        ImageError: The program fails, or leaves no label file that can be used.
    """
    where = f"{where}, segmentation.command"
    shown = ct.data if settings.command_scan == "whole" else np.where(brain, ct.data, 0)
    with TemporaryDirectory(prefix="segment-") as made:
        folder = Path(made)
        for name in ("in", "out"):
            (folder / name).mkdir()
        write_volume(folder / "in" / INPUT, shown, ct.affine, np.int16)
        said = run_program(fill_in(settings.command or "", folder), where)
        return read_labels(folder / "out", ct, settings.command_labels, where, said)


def _failure(where: str, found: str) -> ImageError:
    cure = "Run the command by hand on the scan's native CT below results/preprocess."
    return ImageError(Fault(where, found, "one label file on the CT's own voxels", cure))
