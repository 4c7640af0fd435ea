"""Verbs that people start by hand, outside the workflow."""

import sys
from pathlib import Path

from hemexp.columns import NO_IVH, SESSIONS
from hemexp.config import load_settings, read_config
from hemexp.layout import Layout
from hemexp.sheet import read_patient_row, scan_files
from hemexp.verbs.options import Arguments, kept, section, sheet


def check(args: Arguments) -> None:
    """Check the sheet, and its images with --images."""
    from hemexp.desk.check import run_check

    limits = section(args, "preprocess") if args.images else None
    config = args.settings
    whole = not config.lstrip().startswith("{") and Path(config).is_file()
    settings = load_settings(read_config(config)) if whole else None
    needed = settings is None or settings.need_training
    segmentation = settings and settings.segmentation
    print(run_check(Path(args.samples), limits, segmentation, need_training=needed))


def new_center(args: Arguments) -> None:
    """Draft rows of a sample sheet from a folder of files; a person completes them."""
    from hemexp.desk.new_center import draft_lines, run_new_center

    draft = run_new_center(args.folder, args.pattern, args.center, args.out)
    print("\n".join(draft_lines(draft, args.out)))


def provenance(args: Arguments) -> None:
    """Say where a product comes from, back to raw files and settings, and what changed since."""
    from hemexp.desk.provenance_chain import chain_lines, trace
    from hemexp.preprocess.strip import name_raw

    raw: dict[str, Path] = {}
    if Path(args.samples).is_file():
        for _, row in sheet(args).iterrows():
            for session in SESSIONS:
                raw |= name_raw(row["patient_id"], session, scan_files(row, session))
    chain = trace(args.file, Layout(args.results), raw)
    print("\n".join(chain_lines(chain, whole=args.whole)))


def predict(args: Arguments) -> None:
    """Draw one patient's follow-ups from raw files and released models, without the workflow."""
    from hemexp.desk.predict import NewPatient, run_predict
    from hemexp.layout import ScanImages
    from hemexp.release.models import read_recipe, recipe_of
    from hemexp.release.patient_values import PATIENT_NUMBERS

    config = args.config
    recipe = recipe_of(load_settings(read_config(config))) if config else read_recipe(args.model)
    given = {name: getattr(args, f"baseline_{name}") for name in ScanImages._fields}
    images = {
        name: None if str(path) == NO_IVH and name == "ivh" else path
        for name, path in given.items()
    }
    values = {name: getattr(args, name) for name in PATIENT_NUMBERS}
    patient = NewPatient(args.patient_id, images, values)
    run_predict(patient, args.model, recipe, args.out, args.seed, args.device)


def recalibrate(args: Arguments) -> None:
    """Update released models on a new centre's patients; print before and after, held out."""
    from hemexp.release.recalibrate import run_recalibrate

    layout, patients = Layout(args.results), kept(args)
    found = run_recalibrate(layout, patients, args.model, args.out, args.seed)
    print(found.to_string(index=False, float_format="{:.3f}".format, na_rep=""))


def accept_masks(args: Arguments) -> None:
    """Say that a person has looked at the masks found in a scan, and takes them as they are."""
    from hemexp.desk.accept_masks import run_accept_masks

    print(run_accept_masks(Layout(args.results), args.samples, args.patient, args.session))


def stack_samples(args: Arguments) -> None:
    """Write a patient's samples as one 4D image, ordered by volume, for 3D Slicer or FSL."""
    from hemexp.desk.stack_samples import run_stack_samples

    for path in run_stack_samples(Layout(args.results), args.patient):
        print(path)


def export_dicom(args: Arguments) -> None:
    """Write a patient's masks, probability map and volumes as DICOM, beside the source series."""
    from hemexp.desk.dicom.export import run_export_dicom

    source = args.source or read_patient_row(args.samples, args.patient)["baseline_ct"]
    files, remarks = run_export_dicom(Layout(args.results), args.patient, source, args.out)
    print("\n".join([*map(str, files), *remarks]))


def compare_tables(args: Arguments) -> None:
    """Say which cells of two folders' tables differ, if any; exit code 1 if any does."""
    from hemexp.desk.compare_tables import run_compare_tables

    if run_compare_tables(args.one, args.other, args.tolerance):
        sys.exit(1)


def where(args: Arguments) -> None:
    """Say where a run's tables, figures and maps lie."""
    layout = Layout(args.results)
    maps = layout.find(layout.sample_map("*", "expansion"))
    places = {
        "tables": layout.table("").parent,
        "figures": layout.figure("").parent,
        "page": layout.report,
        "one patient's expansion-probability map": maps[0] if maps else "none drawn yet",
    }
    for name, place in places.items():
        print(f"{name}: {place}")
