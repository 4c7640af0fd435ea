"""The brain by SynthStrip (Hoopes et al. 2022, NeuroImage 260:119474), where the user has it.

The weights come with FreeSurfer's licence, so nothing of it is shipped: the user's own command is
run on the CT clipped to 0-100 HU, as the published HemExp did.
"""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.scans import NativeScan
from hemexp.settings import SkullStrip
from hemexp.volumes import SAME_GRID_MM, ImageError, grid_distance_mm, read_volume, write_volume

COMMAND = "mri_synthstrip"
CLIP_HU = (0, 100)
BORDER_MM = "0"
"""The mask ends at the brain's surface; SynthStrip's own default is 1 mm beyond."""

OTHER_METHOD = "or choose preprocess.skull_strip.method: morphology."


def find_by_synthstrip(scan: NativeScan, settings: SkullStrip) -> NDArray[np.bool_]:
    """The brain as SynthStrip delineates it.

    Args:
        scan: Head CT in HU, any axis order.
        settings: Not read: SynthStrip has no sizes to set.

    Returns:
        Mask (x, y, z).

    Raises:
        ImageError: `mri_synthstrip` is not on the PATH, fails, or leaves no mask of a brain on
            the CT's grid.
    """
    command = shutil.which(COMMAND)
    if command is None:
        raise ImageError(
            Fault(
                "brain mask",
                f"no command {COMMAND} on the PATH",
                "FreeSurfer's SynthStrip, for preprocess.skull_strip.method is 'synthstrip'",
                "Install FreeSurfer 7.3 or later, or put SynthStrip's container script on the "
                f"PATH under this name (surfer.nmr.mgh.harvard.edu/docs/synthstrip), "
                f"{OTHER_METHOD}",
            )
        )
    with TemporaryDirectory(prefix="synthstrip-") as folder:
        ct, mask = Path(folder) / "ct.nii.gz", Path(folder) / "mask.nii.gz"
        write_volume(ct, np.clip(scan.ct.data, *CLIP_HU), scan.ct.affine, np.int16)
        _run([command, "-i", str(ct), "-m", str(mask), "-b", BORDER_MM])
        if not mask.exists():
            raise _failure("no mask written")
        try:
            brain = read_volume(mask)
        except ImageError as error:
            raise _failure(error.faults[0].found) from error
    distance_mm = grid_distance_mm(brain, scan.ct)
    if distance_mm > SAME_GRID_MM:
        raise _failure(
            f"a mask of shape {brain.data.shape}, {distance_mm:.3g} mm off the CT's grid"
        )
    if not brain.data.any():
        raise _failure("an empty mask")
    return brain.data > 0


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise _failure(f"a command that cannot be run ({error})") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing on stderr"]
        raise _failure(f"exit code {done.returncode} ({said[-1].strip()})")


def _failure(found: str) -> ImageError:
    cure = f"Run it by hand on this CT and look at what it says, {OTHER_METHOD}"
    return ImageError(
        Fault(f"brain mask, {COMMAND}", found, "a brain mask on the CT's grid", cure)
    )
