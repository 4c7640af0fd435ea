"""The pixels of a DICOM series, decoded and stacked by `dcm2niix` (Li et al. 2016).

`dcm2niix` (J Neurosci Methods 264:47) reads every compression and applies each slice's rescale
slope and intercept. It also undoes tilt and uneven steps, but places three of four tilted images
wrongly (its issue 259) and goes without where attributes were removed: here the untouched image is
taken, and `geometry` puts it right. What dcm2niix says meanwhile is not lost.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.remarks import Remark
from hemexp.volumes import ImageError

PROGRESS = re.compile(
    r"Chris Rorden|Found \d+ DICOM|Convert \d+ DICOM|Conversion required|UINT16->INT16|::autoBids"
    r"|Gantry Tilt Correction is new|Gantry Tilt Parameters"
    r"|^\s*(Read|Phase|CrossReadPhase|Slice) =|Compression will be faster"
)
"""Lines that warn of nothing."""

MEASURED = re.compile(
    r"gantry tilt|order is not spatial|Interslice distance varies|slice vector"
    r"|Instance number \(0020,0013\) not found|slope, intercept or bits allocated varies"
    r"|slices stacked despite varying|Missing images\?",
    re.IGNORECASE,
)
"""Lines on what `geometry` measures on the positions themselves, and says with a number."""

UNMENDED = re.compile(r"Only able to (make equidistant|correct gantry)")
"""It fails where it cannot mend 16-bit numbers above 32767; the untouched image is there."""

DOUBTFUL = re.compile(
    r"slice|spatial|orientation|position|direction|distance|location|missing|truncat|corrupt"
    r"|duplicate|volume|dimension|pixel|scal|slope|intercept|intensit|bits|error|fail|unable to d",
    re.IGNORECASE,
)
"""Lines on place, intensity or lacking data; `unable to d(etermine|ecode)`."""

HARMLESS = re.compile(r"manufacturer|Patient Position \(0018,5100\)", re.IGNORECASE)
"""A CT's positions are the patient's own, whoever made the scanner and however one lay in it."""


class Image(NamedTuple):
    """What dcm2niix made of a series.

    Attributes:
        data: HU (x, y, slice), float32, as stacked: neither tilt nor steps undone.
        affine: RAS mm; of the first slice at least.
        said: Lines that it printed.
        mended: Affine of the image that it resampled itself, where it did.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    said: list[str]
    mended: NDArray[np.float64] | None


def remarks_of(said: Iterable[str]) -> list[Remark]:
    """What dcm2niix warned of: doubtful where it bears on the image, else a note; each once."""
    found = {}
    for line in said:
        if any(known.search(line) for known in (PROGRESS, MEASURED, UNMENDED)):
            continue
        doubtful = bool(DOUBTFUL.search(line)) and not HARMLESS.search(line)
        if doubtful or re.search("warning", line, re.IGNORECASE):
            found[f"dcm2niix: {line.removeprefix('Warning: ')}"] = doubtful
    return [Remark(words, doubtful) for words, doubtful in found.items()]


def convert(named: Path, files: Sequence[Path]) -> Image:
    """Converts the files of one series, in a temporary folder that is gone afterwards.

    Args:
        named: The path in the sheet, for the messages.
        files: Of one series, size and orientation.

    Raises:
        ImageError: The conversion fails or gives no single stack; the message holds the
            program's last words.
    """
    program = find_dcm2niix(named)
    with tempfile.TemporaryDirectory(prefix="hemexp-dicom-") as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.mkdir(), target.mkdir()
        links = [source / f"{number:05d}.dcm" for number in range(len(files))]
        for link, file in zip(links, files, strict=True):
            link.symlink_to(file.absolute())
        # -ba y: its JSON names nobody, should a killed job leave the folder behind;
        # -m y: one series, as was seen; -l n: 16-bit unsigned becomes signed.
        options = ["-ba", "y", "-z", "n", "-m", "y", "-l", "n", "-w", "2", "-f", "image"]
        done = subprocess.run(
            [program, *options, "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            errors="replace",
        )
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        made = sorted(target.glob("*.json"))
        failed = done.returncode != 0 and not UNMENDED.search(done.stdout)
        if failed or not made:
            raise ImageError(_failure_fault(named, done, dict(zip(links, files, strict=True))))
        images = [nib.load(path.with_suffix(".nii")) for path in made]
        if len(images) > 1 or len(images[0].shape) != 3:
            raise ImageError(_split_fault(named, images))
        data = np.asarray(images[0].dataobj, dtype=np.float32)
        others = sorted(set(target.glob("*.nii")) - {made[0].with_suffix(".nii")})
        mended = nib.load(max(others, key=lambda path: len(path.name))).affine if others else None
    said = [line.replace(f"{source}/", "") for line in said]
    return Image(data, np.asarray(images[0].affine, dtype=np.float64), said, mended)


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


def _split_fault(path: Path, images: Sequence[nib.Nifti1Image]) -> Fault:
    shapes = "; ".join(" x ".join(map(str, image.shape)) for image in images)
    return Fault(
        str(path),
        f"a series that dcm2niix does not convert to one stack of slices ({shapes})",
        "the slices of one head CT",
        "Export the series again, or convert it by hand and name the NIfTI file.",
    )


def _failure_fault(
    path: Path, done: subprocess.CompletedProcess[str], files: Mapping[Path, Path]
) -> Fault:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines()]
    said = [line for line in lines if line and not line.startswith("Conversion required")]
    told = said[-1] if said else f"exit code {done.returncode}"
    for link, file in files.items():
        told = told.replace(str(link), str(file))
    return Fault(
        str(path),
        f"DICOM that dcm2niix cannot convert ({told})",
        "the slices of a head CT, complete",
        "Export the series again, or convert it by hand and name the NIfTI file.",
    )
