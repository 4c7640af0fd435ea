"""From a raw scan to its standard form: checked, mended, with its brain mask and its volumes."""

import time
from collections.abc import Mapping
from pathlib import Path

from hemexp.data_files import data_files
from hemexp.layout import Layout, is_phantom
from hemexp.preprocess.brain_hu import brain_faults
from hemexp.preprocess.dicom import files_of
from hemexp.preprocess.mask_checks import stray_remarks
from hemexp.preprocess.raw import read_given_brain, read_raw_scan
from hemexp.preprocess.remarks import notes_of, warnings_of
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import NativeScan, name_faults, write_images
from hemexp.preprocess.skull import delineate_brain
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
) -> Volume:
    """The brain mask that the study gives, or else the one the configured method finds.

    Args:
        patient_id: For the messages.
        session: `baseline` or `followup`, for the messages.
        raw: The study's files; a `brain` among them always wins.
        scan: The checked scan.
        settings: Which method, and its sizes.
        limits: What the brain's HU must be.

    Returns:
        Mask (x, y, z), bool, with every voxel of blood in it.

    Raises:
        ImageError: No brain is found, none is given although the method is `provided`, or its HU
            are not those of a brain without contrast medium.
    """
    where = f"{session} ct, {raw['ct']}"
    if raw.get("brain"):
        given = read_given_brain(patient_id, session, raw["brain"], scan)
        brain = given.data | scan.blood
    else:
        try:
            brain = delineate_brain(scan, settings)
        except ImageError as error:
            raise ImageError(*name_faults(error.faults, patient_id, where)) from error
    if faults := brain_faults(scan.ct, brain, scan.blood, limits):
        raise ImageError(*name_faults(faults, patient_id, where))
    return scan.ct.with_data(brain)


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
    ivh_ml brain_ml warnings notes.

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
    found = read_raw_scan(patient_id, session, raw["ct"], raw["iph"], raw.get("ivh"), limits)
    scan = found.scan
    brain = find_brain(patient_id, session, raw, scan, settings, limits)
    masks = {"iph": scan.iph.data, "ivh": scan.ivh.data, "brain": brain.data}
    write_images(files, {"ct": scan.ct.data, **masks}, scan.ct.affine)
    write_png(files.picture, draw_scan(scan.ct, masks))
    measured = {"iph_ml": found.iph_ml, "ivh_ml": found.ivh_ml, "brain_ml": volume_ml(brain)}
    row = {"patient_id": patient_id, "session": session, **measured}
    stray = stray_remarks(scan.iph.data, scan.ivh.data, brain.data, scan.ct.spacing_mm)
    remarks = (*found.remarks, *stray)
    words = {"warnings": "; ".join(warnings_of(remarks)), "notes": "; ".join(notes_of(remarks))}
    write_row(files.volumes, row | words)
    write_sidecars(
        files,
        verb="strip-skull",
        settings={"skull_strip": settings.as_json(), "raw": limits.as_json()},
        inputs=name_raw(patient_id, session, raw),
        started=started,
        method="given" if raw.get("brain") else settings.method,
        ivh_mask="given" if raw.get("ivh") else "none",
    )
