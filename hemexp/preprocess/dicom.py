"""A CT as the scanner stores it: a DICOM series, converted by `dcm2niix` (Li et al. 2016).

`dcm2niix` (J Neurosci Methods 264:47) undoes the gantry's tilt and unequal slice distances by
resampling, and writes the untouched image beside it: here the mended one is taken.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib

from hemexp import Fault
from hemexp.preprocess.remarks import Remark
from hemexp.volumes import ImageError, Volume, read_volume

FEWEST_SLICES = 4
"""A series of fewer slices is a localiser or a screenshot."""

MENDED = {"_Tilt": "gantry tilt undone", "_Eq": "slices made equidistant"}
"""What a part of a file's name says about the image."""


class Series(NamedTuple):
    """One image that dcm2niix made.

    Attributes:
        path: The NIfTI file, the mended one where there is one.
        about: The sidecar of dcm2niix, with DICOM's names of things.
        said: What dcm2niix printed.
    """

    path: Path
    about: dict[str, Any]
    said: str

    @property
    def key(self) -> tuple[str, int]:
        """What two series differ in."""
        return self.about.get("SeriesInstanceUID", ""), self.about.get("SeriesNumber", 0)

    @property
    def is_head(self) -> bool:
        """Whether it can be the scan: a CT of several slices that is no localiser."""
        localiser = "LOCALIZER" in self.about.get("ImageType", [])
        slices = nib.load(self.path).shape[2:3]
        return (
            self.about.get("Modality", "CT") == "CT"
            and not localiser
            and slices >= (FEWEST_SLICES,)
        )

    @property
    def note(self) -> str:
        """How the image was made, for the quality control."""
        parts = [f"series {self.about.get('SeriesNumber', '?')}"]
        parts += [text for mark, text in MENDED.items() if mark in self.path.stem]
        parts += ["slices may be missing"] if "Missing images" in self.said else []
        return f"converted from DICOM ({', '.join(parts)})"

    def __str__(self) -> str:
        """The series for people: number, description, slices, spacing."""
        header = nib.load(self.path).header
        slices = (*header.get_data_shape(), 1)[2]
        spacing = " x ".join(f"{size:.3g}" for size in header.get_zooms()[:3])
        name = self.about.get("SeriesDescription", "without description")
        kind = self.about.get("Modality", "CT")
        number = self.about.get("SeriesNumber", "?")
        return f"series {number} '{name}' ({kind}, {slices} slices, {spacing} mm)"


def is_dicom(path: Path) -> bool:
    """Whether a path is a folder, or a file that says it is DICOM."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def files_of(path: Path) -> list[Path]:
    """The files behind a path of the sheet: itself, or for DICOM all that are converted."""
    if not is_dicom(path):
        return [path]
    found = path.rglob("*") if path.is_dir() else path.parent.iterdir()
    return sorted(file for file in found if file.is_file())


def read_dicom(path: Path) -> tuple[Volume, list[Remark]]:
    """Converts the one head CT of a DICOM folder, or the series that a file belongs to.

    Args:
        path: Folder with one series (localisers aside), or any one file of the wanted series.

    Returns:
        The image with the rescale slope and intercept applied, and what was done.

    Raises:
        ImageError: The folder holds no series of CT slices, or several; or the conversion fails.
    """
    with converted(path.parent if path.is_file() else path, path) as found:
        kept = [series for series in found if series.is_head]
        if path.is_file():
            with converted(path, path, only_facts=True) as one:
                keys = [series.key for series in one]
            kept = [series for series in kept if series.key in keys]
        if len(kept) != 1:
            raise ImageError(_choice_fault(path, found, kept))
        aside = "" if path.is_file() else ", ".join(str(s) for s in found if s not in kept)
        try:
            volume = read_volume(kept[0].path)
        except ImageError as error:
            faults = [fault._replace(where=str(path)) for fault in error.faults]
            raise ImageError(*faults) from error
    remarks = [Remark(kept[0].note)]
    return volume, remarks + ([Remark(f"left aside: {aside}")] if aside else [])


def find_dcm2niix(path: Path) -> str:
    """The program: from its PyPI package, or on the PATH.

    Raises:
        ImageError: It is not installed.
    """
    try:
        from dcm2niix import bin as program
    except ImportError:
        program = shutil.which("dcm2niix")
    if program is None:
        raise ImageError(
            Fault(
                str(path),
                "DICOM, but no program dcm2niix to convert it",
                "dcm2niix in this environment",
                "Run `pip install dcm2niix`.",
            )
        )
    return str(program)


@contextmanager
def converted(source: Path, named: Path, *, only_facts: bool = False) -> Iterator[list[Series]]:
    """Converts a folder into a temporary one, which is gone afterwards.

    Args:
        source: DICOM folder, or one file.
        named: The path in the sheet, for the messages; a file keeps the search to its folder.
        only_facts: Only write the sidecar of the one file.

    Yields:
        The images, ordered by series number.

    Raises:
        ImageError: The conversion fails; the message holds the program's last words.
    """
    depth = ["-d", "0"] if named.is_file() else []
    mode = ["-s", "y", "-b", "o"] if only_facts else ["-b", "y", *depth]
    with tempfile.TemporaryDirectory(prefix="hemexp-dicom-") as folder:
        # -l n: 16-bit unsigned becomes signed, without which tilt and distances are not mended.
        command = [
            find_dcm2niix(named),
            *mode,
            "-ba",
            "n",
            "-z",
            "n",
            "-l",
            "n",
            "-w",
            "2",
            "-f",
            "%s_%j",
            "-o",
            folder,
            str(source),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise ImageError(_failure_fault(named, done))
        sidecars = sorted(Path(folder).glob("*.json"))
        found = [Series(_mended(path), _read_json(path), done.stdout) for path in sidecars]
        found = [series for series in found if only_facts or series.path.exists()]
        yield sorted(found, key=lambda series: (series.key[1], series.path))


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8", errors="replace"), strict=False)


def _mended(sidecar: Path) -> Path:
    """The image of a sidecar: the one with the tilt or the distances mended, where there is one.

    The untouched twin has the sidecar's name; the mended one has `_Tilt`, `_Eq` or both added.
    """
    stem = sidecar.name.removesuffix(".json")
    others = [path for mark in MENDED for path in sidecar.parent.glob(f"{stem}{mark}*.nii")]
    return max(
        others,
        key=lambda path: (len(path.name), path.name),
        default=sidecar.with_name(f"{stem}.nii"),
    )


def _choice_fault(path: Path, found: list[Series], kept: list[Series]) -> Fault:
    listed = "; ".join(map(str, kept or found)) or "nothing"
    if kept and path.is_file():
        cure = "Copy the files of the wanted one into a folder of their own."
    elif kept:
        cure = "Name one file of the wanted series instead of the folder."
    else:
        cure = f"Name the folder of the head CT; it needs {FEWEST_SLICES} slices or more."
    what = f"{len(kept)} series" if kept else "no head CT"
    return Fault(str(path), f"{what} in this DICOM folder: {listed}", "one head CT series", cure)


def _failure_fault(path: Path, done: subprocess.CompletedProcess[str]) -> Fault:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines()]
    said = [line for line in lines if line and not line.startswith("Conversion required")]
    said = said or [f"exit code {done.returncode}"]
    return Fault(
        str(path),
        f"DICOM that dcm2niix cannot convert ({said[-1]})",
        "the slices of a head CT, complete",
        "Export the series again, or convert it by hand and name the NIfTI file.",
    )
