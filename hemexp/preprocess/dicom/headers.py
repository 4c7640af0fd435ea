"""What the files of a DICOM folder say of themselves: which belong together, and where each lies.

Only headers are read (`pydicom`); the pixels are for `convert`.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FEWEST_SLICES = 4
"""A series of fewer slices is a localiser or a screenshot."""

SAME_STACK = 1e-3
"""Direction cosines and pixel sizes (mm) of one stack agree within this: DICOM writes 4 digits or
more, and 0.001 is 0.25 mm at the edge of a 256 mm field of view."""

SUFFIXES = {".dcm", ".ima"}
"""A file named so was meant to be a picture."""

PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
SCALES = ("RescaleSlope", "RescaleIntercept")
TAGS = [
    *PLACES,
    *SCALES,
    "Modality",
    "ImageType",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "SliceThickness",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


class Slice(NamedTuple):
    """One picture: a file, or a frame of a file. What a file does not say is None.

    Attributes:
        path: Its file.
        facts: Attributes of the file, by DICOM's names.
        shape: Columns and rows.
        place: Position (LPS mm), direction cosines of rows and columns, distance of rows and
            of columns (mm), by DICOM's names.
        scale: Rescale slope and intercept, by DICOM's names.
    """

    path: Path
    facts: dict[str, Any]
    shape: tuple[int, int]
    place: dict[str, tuple[float, ...] | None]
    scale: dict[str, float | None]

    @property
    def instance(self) -> int | None:
        """The number that the scanner gave it."""
        return self.facts.get("InstanceNumber")

    @property
    def series(self) -> tuple[str, str]:
        """What slices of one series share: UID and number."""
        return str(self.facts.get("SeriesInstanceUID", "")), str(
            self.facts.get("SeriesNumber", "")
        )

    @property
    def is_localiser(self) -> bool:
        """Whether it only serves to plan the scan."""
        return "LOCALIZER" in self.facts.get("ImageType", [])


class Series(NamedTuple):
    """Pictures of one series, one size and one orientation: what makes one volume."""

    slices: list[Slice]

    @property
    def number(self) -> object:
        """What people know the series by."""
        return self.slices[0].facts.get("SeriesNumber", "?")

    @property
    def uid(self) -> tuple[str, str]:
        """What slices of one series share."""
        return self.slices[0].series

    @property
    def is_localiser(self) -> bool:
        """Whether it only serves to plan the scan."""
        return self.slices[0].is_localiser

    @property
    def files(self) -> list[Path]:
        """Each once; a file may hold several slices."""
        return list(dict.fromkeys(each.path for each in self.slices))

    @property
    def is_head(self) -> bool:
        """Whether it can be the scan: a CT of several slices that is no localiser."""
        is_ct = self.slices[0].facts.get("Modality", "CT") == "CT"
        return is_ct and not self.is_localiser and len(self.slices) >= FEWEST_SLICES

    def __str__(self) -> str:
        """The series for people: number, description, slices, voxel size."""
        facts, place = self.slices[0].facts, self.slices[0].place
        name = facts.get("SeriesDescription") or "without description"
        sizes = [*reversed(place["PixelSpacing"] or ("?", "?")), facts.get("SliceThickness", "?")]
        size = " x ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in sizes)
        kind = facts.get("Modality", "CT")
        return f"series {self.number} '{name}' ({kind}, {len(self.slices)} slices, {size} mm)"


def read_headers(paths: Iterable[Path]) -> tuple[list[Slice], dict[Path, str]]:
    """Reads the headers of all files that are DICOM pictures; others are passed over.

    Returns:
        The slices, without second copies of one (SOPInstanceUID and position); and the files
        that look like DICOM but cannot be read, with the reason.
    """
    slices: dict[object, Slice] = {}
    broken: dict[Path, str] = {}
    for path in paths:
        try:
            for number, found in enumerate(_read_slices(path) if looks_dicom(path) else ()):
                uid = found.facts.get("SOPInstanceUID") or path
                slices.setdefault((uid, number, found.place["ImagePositionPatient"]), found)
        except Exception as error:  # pydicom raises whatever a broken file makes of it
            broken[path] = (str(error) or repr(error)).splitlines()[0]
    return list(slices.values()), broken


def looks_dicom(path: Path) -> bool:
    """Whether a file says it is DICOM, or starts with DICOM's first group as old exports do.

    Raises:
        ValueError: It has DICOM's suffix, or nothing in it.
        OSError: It cannot be read.
    """
    with path.open("rb") as handle:
        start = handle.read(132)
    dicom = start[128:] == b"DICM" or start[:2] == b"\x08\x00"
    if not dicom and (not start or path.suffix.lower() in SUFFIXES):
        raise ValueError(f"{path.stat().st_size} bytes that are no DICOM")
    return dicom


def find_series(slices: Iterable[Slice]) -> list[Series]:
    """Sorts slices into series, each of one size and orientation, by series number."""
    found: dict[tuple[str, str], list[Series]] = {}
    for each in slices:
        stacks = found.setdefault(each.series, [])
        home = next((stack for stack in stacks if _fits(each, stack.slices[0])), None)
        if home is None:
            stacks.append(Series([each]))
        else:
            home.slices.append(each)
    listed = [series for stacks in found.values() for series in stacks]
    return sorted(listed, key=lambda series: (_as_number(series.number), series.files[0]))


def _as_number(number: object) -> float:
    return float(number) if isinstance(number, (int, float)) else np.inf


def _fits(one: Slice, other: Slice) -> bool:
    """Whether two slices can be of one volume; what a file does not say fits anything."""
    pairs = [(one.place[name], other.place[name]) for name in PLACES[1:]]
    given = [(a, b) for a, b in pairs if a is not None and b is not None]
    alike = one.shape == other.shape and one.is_localiser == other.is_localiser
    return alike and all(np.allclose(a, b, rtol=0, atol=SAME_STACK) for a, b in given)


def _read_slices(path: Path) -> Iterator[Slice]:
    """The pictures of one file: one, or the frames of an enhanced CT; none of a report."""
    if sys.modules.get("pydicom", sys) is None:  # hemexp/__main__.py keeps nibabel from it
        del sys.modules["pydicom"]
    import pydicom

    data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=TAGS)
    if "Rows" not in data or "Columns" not in data:
        kind = data.file_meta.get("MediaStorageSOPClassUID") or data.get("SOPClassUID")
        if kind is None or "Image Storage" in kind.name:
            raise ValueError("incomplete header")
        return
    names = [tag for tag in TAGS if not tag.endswith("Sequence")]
    facts = {name: data.get(name) for name in names if data.get(name) not in (None, "")}
    shape = (int(data.Columns), int(data.Rows))
    frames = data.get("PerFrameFunctionalGroupsSequence") or [None]
    shared = [*(data.get("SharedFunctionalGroupsSequence") or [])]
    for frame in frames:
        said = facts | _frame_facts([*shared, *([frame] if frame is not None else [])])
        place = {name: _numbers(said.get(name)) for name in PLACES}
        scale = {name: (_numbers(said.get(name)) or (None,))[0] for name in SCALES}
        yield Slice(path, facts, shape, place, scale)


def _frame_facts(groups: Iterable[Any]) -> dict[str, Any]:
    """Place and scale of a frame of an enhanced CT, from its functional groups."""
    said = {}
    for group in groups:
        for sequence in group:
            if sequence.VR == "SQ" and sequence.value:
                item = sequence.value[0]
                said |= {name: item.get(name) for name in (*PLACES, *SCALES) if name in item}
    return said


def _numbers(value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = tuple(float(x) for x in np.atleast_1d(np.asarray(value, dtype=float)))
    return numbers if numbers and np.all(np.isfinite(numbers)) else None
