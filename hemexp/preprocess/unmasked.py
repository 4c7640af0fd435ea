"""Scans whose masks the workflow makes: stripped without masks, and completed once there are some.

In between, masks are made of what `strip-unmasked` leaves. What is complete looks as if the masks
had been given.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from hemexp import Fault
from hemexp.layout import Layout
from hemexp.preprocess.exclude import NothingFound, pass_on
from hemexp.preprocess.remarks import notes_of, warnings_of
from hemexp.preprocess.rows import read_row, write_row
from hemexp.preprocess.scans import read_native_scan
from hemexp.preprocess.strip import mask_remarks, name_raw, read_scan
from hemexp.preprocess.thumbnails import draw_scan, write_png
from hemexp.provenance import sidecar_path, write_sidecars
from hemexp.settings import RawInput, SkullStrip
from hemexp.volumes import volume_ml, write_volume


def run_strip_unmasked(
    layout: Layout,
    patient_id: str,
    session: str,
    raw: Mapping[str, Path | str],
    settings: SkullStrip,
    limits: RawInput,
) -> None:
    """Verb `strip-unmasked`: as `strip-skull`, of a scan without masks.

    Writes its CT and brain mask in standard form, and `stripped`, a row of `volumes` without IPH
    and IVH.

    Args:
        layout: Of the run.
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        raw: The study's files: `ct` in HU, and `brain` where one is given.
        settings: Skull-strip settings.
        limits: Outside these a raw scan is refused.

    Raises:
        ImageError: The scan cannot be used; the message names the patient and the file.
    """
    started, files = time.perf_counter(), layout.native(patient_id, session)
    stripped = layout.stripped(patient_id, session)
    scan, brain, row = read_scan(patient_id, session, raw, settings, limits)
    write_volume(files.ct, scan.ct.data, scan.ct.affine, np.int16)
    write_volume(files.brain, brain.data, scan.ct.affine, np.uint8)
    write_row(stripped, {name: value for name, value in row.items() if name not in VOLUMES})
    write_sidecars(
        [files.ct, files.brain, stripped],
        verb="strip-unmasked",
        settings={"skull_strip": settings.as_json(), "raw": limits.as_json()},
        inputs=name_raw(patient_id, session, raw),
        started=started,
        method="given" if raw.get("brain") else settings.method,
    )


VOLUMES = ("iph_ml", "ivh_ml")
"""Columns of `volumes` that are measured once there are masks."""


def run_complete_scan(layout: Layout, patient_id: str, session: str) -> None:
    """Measures a stripped scan and its made masks, and draws its picture, as `strip-skull` does.

    Limits and settings are those that it was stripped by.

    Args:
        layout: Of the run; holds CT, brain mask, made masks, and `stripped`.
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.

    Raises:
        NothingFound: There is no IPH in them: without a bleed there is no growth to learn or
            forecast.
    """
    started, files = time.perf_counter(), layout.native(patient_id, session)
    stripped = layout.stripped(patient_id, session)
    scan, brain = read_native_scan(layout, patient_id, session)
    if not scan.iph.data.any():
        raise NothingFound(_none_found(patient_id, session))
    settings = json.loads(sidecar_path(stripped).read_text(encoding="utf-8"))["settings"]
    remarks = mask_remarks(scan, brain, RawInput.model_validate(settings["raw"]))
    row = read_row(stripped, patient_id)
    names = {"patient_id": patient_id, "session": session}
    volumes = {"iph_ml": volume_ml(scan.iph), "ivh_ml": volume_ml(scan.ivh)}
    said = {
        "warnings": _joined(row["warnings"], warnings_of(remarks)),
        "notes": _joined(row["notes"], notes_of(remarks)),
    }
    masks = {"iph": scan.iph.data, "ivh": scan.ivh.data, "brain": brain}
    write_png(files.picture, draw_scan(scan.ct, masks, dashed=("ivh", "iph")))
    write_row(files.volumes, names | volumes | row | said)
    write_sidecars(
        [files.picture, files.volumes],
        verb="segment-scan",
        settings=settings,
        inputs=[*files.images, stripped],
        started=started,
    )


def hand_on_failure(
    layout: Layout, patient_id: str, session: str, products: Iterable[Path]
) -> bool:
    """Whether the scan was not stripped; its products are then left empty, with the reason."""
    table = layout.native(patient_id, session).volumes
    return pass_on(layout.stripped(patient_id, session), patient_id, table, products)


def _joined(before: str | float, more: Iterable[str]) -> str:
    return "; ".join(words for words in (str(before), *more) if words)


def _none_found(patient_id: str, session: str) -> Fault:
    return Fault(
        f"patient {patient_id}, {session}",
        "no IPH in the masks that were made of the scan",
        "at least one voxel of IPH",
        "Look at the scan. If it shows a bleed, draw it and name the masks in the sheet; if not, "
        "the patient is left out as it is, see excluded.tsv.",
    )
