"""From a raw scan to its standard form: checked, mended, with its brain mask and its volumes."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.data_files import data_files
from hemexp.layout import Layout, is_phantom
from hemexp.preprocess.brain_hu import brain_faults
from hemexp.preprocess.dicom.read import files_of
from hemexp.preprocess.identity import hash_voxels
from hemexp.preprocess.masks.checks import stray_remarks
from hemexp.preprocess.masks.ivh_place import place_remarks
from hemexp.preprocess.raw import read_given_brain, read_raw_scan
from hemexp.preprocess.remarks import Remark, notes_of, warnings_of
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scan_noise import ScanNoise, calm_copy, measure_noise, noise_remarks
from hemexp.preprocess.scans import NativeScan, name_faults, write_images
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.slices import compactness, end_shares
from hemexp.preprocess.thumbnails import draw_scan, write_png
from hemexp.provenance import write_sidecars
from hemexp.settings import RawInput, SkullStrip
from hemexp.volumes import ImageError, Volume, volume_ml


def find_brain(
    patient_id: str,
    session: str,
    raw: Mapping[str, Path | str],
    scan: NativeScan,
    settings: SkullStrip,
    limits: RawInput,
) -> tuple[Volume, list[Remark]]:
    """The brain mask that the study gives, or else the one the configured method finds.

    Args:
        patient_id: For the messages.
        session: `baseline` or `followup`, for the messages.
        raw: The study's files; a `brain` among them always wins.
        scan: The checked scan.
        settings: Which method, and its sizes.
        limits: What the brain's volume and HU must be, and from where on a scan is noisy.

    Returns:
        Mask (x, y, z), bool, with every voxel of blood in it; and what is to be said of the noise.

    Raises:
        ImageError: No brain is found, none is given although the method is `provided`, or it
            cannot be a brain or not one without contrast medium.
    """
    where = f"{session} ct, {raw['ct']}"
    noise = measure_noise(scan.ct)
    if noisy := noise.noise_hu > limits.noisy_hu:
        scan = replace(scan, ct=calm_copy(scan.ct, settings.bone_hu))
    faults: Iterable[Fault] = []
    if raw.get("brain"):
        brain = read_given_brain(patient_id, session, raw["brain"], scan).data | scan.blood
    else:
        try:
            brain = delineate_brain(scan, settings)
        except ImageError as error:
            faults = error.faults
    if faults := faults or brain_faults(scan.ct, brain, scan.blood, limits):
        if noisy:
            faults = [blame_noise(fault, noise) for fault in faults]
        raise ImageError(*name_faults(faults, patient_id, where))
    given = bool(raw.get("brain"))
    return scan.ct.with_data(brain), noise_remarks(noise, limits.noisy_hu, given=given)


def blame_noise(fault: Fault, noise: ScanNoise) -> Fault:
    """A fault of a noisy scan, whose likeliest cause comes first."""
    return fault._replace(
        found=f"a scan that is {noise.words()}, and {fault.found}",
        cure=f"Take the soft-tissue series of the scan. If there is none: {fault.cure}",
    )


def name_raw(patient_id: str, session: str, raw: Mapping[str, Path | str]) -> dict[str, Path]:
    """A scan's raw files by names that do not give away where, and as whom, a hospital keeps them.

    Args:
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        raw: The study's files by image.

    Returns:
        `raw/sub-ID_ses-SESSION_IMAGE`, followed by a number a file where there are several (DICOM,
        `.nhdr`). What the phantom drew keeps its own name.
    """
    found: dict[str, Path] = {}
    for image, path in raw.items():
        files = [part for file in files_of(Path(path)) for part in data_files(file)]
        if is_phantom(str(path)):
            found |= {"/".join(file.parts[-2:]): file for file in files}
            continue
        name = f"raw/sub-{patient_id}_ses-{session}_{image}"
        numbers = [""] if len(files) == 1 else [f"/{n:05d}" for n in range(len(files))]
        found |= {name + number: file for number, file in zip(numbers, files, strict=True)}
    return found


def mask_remarks(scan: NativeScan, brain: NDArray[np.bool_], limits: RawInput) -> list[Remark]:
    """What is doubtful of where the masks lie in the brain (x, y, z)."""
    stray = stray_remarks(scan.iph.data, scan.ivh.data, brain, scan.ct.spacing_mm)
    place = place_remarks(scan.ct, brain, scan.blood, scan.ivh.data, limits.ivh_near)
    return [*stray, *place]


def measure_brain(brain: Volume) -> dict[str, float]:
    """What the quality control judges a brain mask by: volume, narrow ends, height for width."""
    below, above = end_shares(brain)
    return {
        "brain_ml": volume_ml(brain),
        "lowest_share": below,
        "highest_share": above,
        "compactness": compactness(brain),
    }


def read_scan(
    patient_id: str,
    session: str,
    raw: Mapping[str, Path | str],
    settings: SkullStrip,
    limits: RawInput,
) -> tuple[NativeScan, Volume, dict[str, str | float]]:
    """Reads and checks one raw scan whole: all that `strip-skull` does but writing.

    Args:
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        raw: The study's files, as for `run_strip_skull`; no `iph` where masks are yet to be made.
        settings: Skull-strip settings.
        limits: Outside these a raw scan is refused.

    Returns:
        The scan, its brain mask, and its row of `volumes`; without masks, IPH and IVH of NaN mL.

    Raises:
        ImageError: The scan cannot be used; the message names the patient and the file.
    """
    masks = raw.get("iph"), raw.get("ivh")
    found = read_raw_scan(patient_id, session, raw["ct"], *masks, limits)
    scan = found.scan
    brain, said = find_brain(patient_id, session, raw, scan, settings, limits)
    remarks = (*found.remarks, *mask_remarks(scan, brain.data, limits), *said)
    return (
        scan,
        brain,
        {
            "patient_id": patient_id,
            "session": session,
            "iph_ml": found.iph_ml,
            "ivh_ml": found.ivh_ml,
            **measure_brain(brain),
            "voxels": hash_voxels(scan.ct),
            "warnings": "; ".join(warnings_of(remarks)),
            "notes": "; ".join(notes_of(remarks)),
        },
    )


def run_strip_skull(
    layout: Layout,
    patient_id: str,
    session: str,
    raw: Mapping[str, Path | str],
    settings: SkullStrip,
    limits: RawInput,
) -> None:
    """Checks one raw scan and writes it in standard form, with its brain mask and its volumes.

    CT and masks are on the raw CT's grid; `volumes` is a one-row table: patient_id session iph_ml
    ivh_ml brain_ml lowest_share highest_share compactness voxels warnings notes.

    Args:
        layout: Of the run.
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        raw: The study's files: `ct` in HU, masks `iph` and `ivh`, and `brain` where one is given;
            no `ivh` where the scan shows none.
        settings: Skull-strip settings.
        limits: Outside these a raw scan is refused.

    Raises:
        ImageError: The scan cannot be used; the message names the patient and the file.
    """
    started, files = time.perf_counter(), layout.native(patient_id, session)
    scan, brain, row = read_scan(patient_id, session, raw, settings, limits)
    masks = {"iph": scan.iph.data, "ivh": scan.ivh.data, "brain": brain.data}
    write_images(files, {"ct": scan.ct.data, **masks}, scan.ct.affine)
    write_png(files.picture, draw_scan(scan.ct, masks))
    write_row(files.volumes, row)
    write_sidecars(
        files,
        verb="strip-skull",
        settings={"skull_strip": settings.as_json(), "raw": limits.as_json()},
        inputs=name_raw(patient_id, session, raw),
        started=started,
        method="given" if raw.get("brain") else settings.method,
        ivh_mask="given" if raw.get("ivh") else "none",
    )
