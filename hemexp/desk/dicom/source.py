"""The series that a patient's baseline came as: its headers in order, and where its slices lie."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hemexp import Fault, HemexpError
from hemexp.preprocess.dicom.checks import AGAIN, place_faults, stack_of
from hemexp.preprocess.dicom.geometry import Stack
from hemexp.preprocess.dicom.headers import find_series, read_headers
from hemexp.preprocess.dicom.read import choose_series, files_of, is_dicom
from hemexp.provenance import hash_file, sidecar_path

if TYPE_CHECKING:
    from pydicom import Dataset

NEEDED = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
    "FrameOfReferenceUID",
)
"""Without these nothing can refer to a slice, or lie in its space."""

MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""Of the patient and the study: DICOM lets them be empty (type 2), and the objects repeat them."""


class Source(NamedTuple):
    """A series, its slices by height.

    Attributes:
        slices: Headers without pixels.
        files: Their files.
        stack: Where they lie.
        shape: Columns and rows.
    """

    slices: list["Dataset"]
    files: list[Path]
    stack: Stack
    shape: tuple[int, int]


def read_source(patient_id: str, path: Path | str) -> Source:
    """Reads the headers of the series that a path of the sheet names.

    Args:
        patient_id: For the messages.
        path: A DICOM folder or a file of the series.

    Raises:
        HemexpError: The baseline did not come as DICOM, or as one file of many frames; or the
            series lacks what an object has to refer to.
    """
    path = Path(path)
    if not path.exists() or not is_dicom(path):
        found = "no DICOM" if path.exists() else "no such file or folder"
        cure = "Name the series in the sheet and run again; --source serves a run without a sheet."
        raise HemexpError(_fault(patient_id, path, found, "the baseline's DICOM series", cure))
    slices, broken = read_headers(files_of(path))
    if not slices:
        found = f"no DICOM picture; {next(iter(broken.values()), 'no file')}"
        raise HemexpError(_fault(patient_id, path, found, "the slices of a head CT", AGAIN))
    series = choose_series(path, find_series(slices))
    if faults := place_faults(path, series):
        raise HemexpError(*faults)
    if len(series.files) != len(series.slices):
        found = f"{len(series.slices)} frames in {len(series.files)} file(s): an enhanced CT"
        expected, cure = "one file a slice", "Export the series as a classic CT."
        raise HemexpError(_fault(patient_id, path, found, expected, cure))
    stack = stack_of(series)
    files = [series.slices[k].path for k in stack.order]
    return Source(_read_slices(patient_id, files), files, stack, series.slices[0].shape)


def refuse_other_series(patient_id: str, ct: Path, source: Source) -> None:
    """Masks lie right on the series that they were made on alone.

    Args:
        patient_id: For the message.
        ct: The run's native CT, whose sidecar holds the hashes of the files that it was read from.
        source: The series.

    Raises:
        HemexpError: The run did not read these files.
    """
    record = json.loads(sidecar_path(ct).read_text(encoding="utf-8"))
    read = set(record["inputs"].values())
    if strangers := [file for file in source.files if hash_file(file) not in read]:
        found = f"{len(strangers)} of {len(source.files)} slices that the run did not read"
        expected = "the series that the masks of this run were made on"
        cure = "Name that series, or run the workflow again on this one."
        raise HemexpError(_fault(patient_id, strangers[0], found, expected, cure))


def _read_slices(patient_id: str, files: Sequence[Path]) -> list["Dataset"]:
    import pydicom  # `read_headers` came first: it lifts the lock of `hemexp/__main__.py`

    slices = []
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        if lacking := [name for name in NEEDED if not header.get(name)]:
            found = f"no {', '.join(lacking)}"
            raise HemexpError(_fault(patient_id, file, found, "what an object refers to", AGAIN))
        for name in MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, "")
        slices.append(header)
    return slices


def _fault(patient_id: str, path: Path, found: str, expected: str, cure: str) -> Fault:
    return Fault(f"patient {patient_id}, baseline, {path}", found, expected, cure)
