"""Verb `export-dicom`: a patient's masks, maps and volumes for a PACS or a DICOM viewer."""

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import BASELINE
from hemexp.desk.dicom.planes import masks_on_planes, on_planes
from hemexp.desk.dicom.source import Source, read_source, refuse_other_series
from hemexp.layout import MAPS, Layout, patient_folder
from hemexp.made_masks import mask_source
from hemexp.provenance import hash_file, write_atomically, write_sidecars
from hemexp.reporting.patient_forecasts import describe_samples
from hemexp.tables import read_table
from hemexp.volumes import read_volume, volume_ml

if TYPE_CHECKING:
    from pydicom import Dataset

BLOOD = ("ivh", "iph")
"""Where both meet on a pixel it is IVH, as on the grid (method.md 2)."""


def run_export_dicom(
    layout: Layout, patient_id: str, source: Path | str, out: Path
) -> tuple[list[Path], list[str]]:
    """Writes a segmentation, a probability map and a report that refer to the baseline's series.

    Args:
        layout: Of the run.
        patient_id: A patient who was not excluded.
        source: What the sheet names as the baseline's CT: has to be DICOM.
        out: Folder to write.

    Returns:
        The files, and what was left out and why.

    Raises:
        HemexpError: The baseline did not come as DICOM, lacks what an object refers to, is not
            what this run read, or has no masks in it; or `highdicom` is not installed.
    """
    started = time.perf_counter()
    need_highdicom()
    series, masks = read_source(patient_id, source), _mask_files(layout, patient_id)
    refuse_other_series(patient_id, layout.native(patient_id, BASELINE).ct, series)
    maps, remarks = _map_files(layout, patient_id)
    with warnings.catch_warnings():
        # The patient's name goes on as it came; the warning would print it.
        warnings.filterwarnings("ignore", message=".*intended person name", category=UserWarning)
        objects = make_objects(layout, patient_id, series, masks, maps)
    files = [out / f"{patient_folder(patient_id)}_{name}.dcm" for name in objects]
    for path, made in zip(files, objects.values(), strict=True):
        with write_atomically(path) as temporary:
            made.save_as(temporary)
    read = [*masks.values(), *maps.values()]
    inputs = {f"{path.parent.name}/{path.name}": path for path in read}
    # Names of a hospital's files may name the patient.
    inputs |= {f"source/{number:04d}": path for number, path in enumerate(series.files, 1)}
    write_sidecars(files, verb="export-dicom", settings={}, started=started, inputs=inputs)
    return files, remarks


def need_highdicom() -> None:
    """Makes `highdicom` ready to be imported, and quiet.

    Raises:
        HemexpError: It is not installed.
    """
    if sys.modules.get("pydicom", sys) is None:  # hemexp/__main__.py keeps nibabel from it
        del sys.modules["pydicom"]
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        expected = "highdicom, which writes DICOM objects"
        cure = "Run `pip install highdicom`, or install hemexp with its extra `dicom`."
        raise HemexpError(Fault("export-dicom", str(error), expected, cure)) from error
    # It tells of every module that it copies.
    logging.getLogger("highdicom").setLevel(logging.WARNING)


def make_objects(
    layout: Layout, patient_id: str, series: Source, masks: dict[str, Path], maps: dict[str, Path]
) -> dict[str, "Dataset"]:
    """The objects by the names of their files.

    Args:
        layout: Of the run.
        patient_id: The patient.
        series: Of the baseline.
        masks: Native masks by name.
        maps: Probability maps by name; none without samples.
    """
    from hemexp.desk.dicom.report import measurement_groups, write_report
    from hemexp.desk.dicom.segments import MAPS as MAP_KIND
    from hemexp.desk.dicom.segments import MASKS, REPORT, segment_maps, segment_masks

    images = {name: read_volume(masks[name]) for name in BLOOD}
    placed = masks_on_planes(
        {name: (image, volume_ml(image)) for name, image in images.items()},
        series.stack,
        series.shape,
    )
    in_order = {name: placed[name] for name in reversed(BLOOD)}
    hashes = [hash_file(masks[name]) for name in BLOOD]
    drawn_by = mask_source(layout, patient_id, BASELINE)
    found = {MASKS.name: segment_masks(series.slices, in_order, drawn_by, hashes)}
    if maps:
        shown = {
            name: on_planes(read_volume(path), series.stack, series.shape)
            for name, path in maps.items()
        }
        map_hashes = [hash_file(path) for path in maps.values()]
        found[MAP_KIND.name] = segment_maps(series.slices, shown, map_hashes)
    forecast, of_samples = _forecast(layout, patient_id)
    volumes_ml = _baseline_ml(layout, patient_id)
    segmentation = found[MASKS.name]
    groups = measurement_groups(
        series.slices, segmentation, volumes_ml, forecast, hashes, of_samples
    )
    found[REPORT.name] = write_report(series.slices, segmentation, groups, [*hashes, *of_samples])
    return found


def _mask_files(layout: Layout, patient_id: str) -> dict[str, Path]:
    native = layout.native(patient_id, BASELINE)
    files = {name: getattr(native, name) for name in BLOOD}
    for path in files.values():
        if not path.is_file() or path.stat().st_size == 0:
            found = "a file of 0 bytes" if path.is_file() else "no such file"
            cure = "Check the patient_id, and results/preprocess/excluded.tsv for the patient."
            where = f"patient {patient_id}, baseline, {path}"
            raise HemexpError(Fault(where, found, "a mask of the run", cure))
    return files


def _map_files(layout: Layout, patient_id: str) -> tuple[dict[str, Path], list[str]]:
    """Probability maps in the baseline's space; none, and why."""
    files = {name: layout.sample_map(patient_id, name) for name in MAPS}
    if not all(path.is_file() for path in files.values()):
        return {}, ["no probability map and no forecast: the patient has no samples"]
    if "oracle" in set(read_table(layout.sample_volumes(patient_id))["indicator"]):
        return {}, ["no probability map and no forecast: the samples were told what happened"]
    if _reference(layout) != BASELINE:
        return {}, ["no probability map: it lies in the follow-up's space, not the baseline's"]
    return files, []


def _reference(layout: Layout) -> str:
    """The scan in whose space maps lie; `predict` keeps no settings and has a baseline alone."""
    if not layout.settings.is_file():
        return BASELINE
    settings = json.loads(layout.settings.read_text(encoding="utf-8"))
    return str(settings["preprocess"]["reference"])


def _baseline_ml(layout: Layout, patient_id: str) -> dict[str, float]:
    measured = read_table(layout.native(patient_id, BASELINE).volumes).iloc[0]
    return {name: float(measured[f"{name}_ml"]) for name in reversed(BLOOD)}


def _forecast(layout: Layout, patient_id: str) -> tuple[pd.Series | None, list[str]]:
    """What the samples say, and the hash of their table; None where they are no forecast."""
    path = layout.sample_volumes(patient_id)
    samples = read_table(path) if path.is_file() else pd.DataFrame({"indicator": []})
    if samples.empty or (samples["indicator"] == "oracle").any():
        return None, []
    before = {f"baseline_{name}_ml": ml for name, ml in _baseline_ml(layout, patient_id).items()}
    outcomes = pd.DataFrame(before, index=[patient_id])
    unscored = pd.DataFrame(columns=["patient_id", "model", "ventricle_change_ml"])
    # New IVH, which the last number would tell, is not reported here.
    table = describe_samples(samples.assign(patient_id=patient_id), unscored, outcomes, 0.0)
    return table.iloc[0], [hash_file(path)]
