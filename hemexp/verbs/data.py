"""Verbs of the rooms phantom and preprocess: from a sheet to scans on the grid."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from hemexp.config import load_section
from hemexp.layout import Layout, PairFiles, ScanFiles, is_phantom
from hemexp.sheet import read_patient_row, scan_files
from hemexp.verbs.options import Arguments, section, sheet


def _phantom_centers(args: Arguments) -> dict[str, str]:
    """Letter of the centre of every phantom patient."""
    rows = sheet(args)
    return rows.loc[rows["baseline_ct"].map(is_phantom), "center"].to_dict()


def draw_cohort(args: Arguments) -> None:
    """Write a sample sheet of phantom patients."""
    from hemexp.phantom.draw_cohort import Size, run_draw_cohort

    size = Size(
        args.per_center, args.validation, args.predict, args.held_out, args.first, args.unmasked
    )
    run_draw_cohort(args.out, section(args, "phantom"), size)


def draw_patient(args: Arguments) -> None:
    """Draw a phantom patient's raw scans."""
    from hemexp.phantom.draw import run_draw_patient

    center = read_patient_row(args.samples, args.patient)["center"]
    run_draw_patient(Layout(args.results), args.patient, center, section(args, "phantom"))


def collect_truth(args: Arguments) -> None:
    """Gather what the phantom knows."""
    from hemexp.phantom.collect_truth import run_collect_truth

    run_collect_truth(Layout(args.results), _phantom_centers(args), section(args, "phantom"))


def collect_what_if_truth(args: Arguments) -> None:
    """Gather what is true of the phantom's patients had they come earlier or later."""
    from hemexp.phantom.what_if import run_collect_what_if_truth

    layout = Layout(args.results)
    run_collect_what_if_truth(layout, _phantom_centers(args), section(args, "phantom"))


def draw_truth_map(args: Arguments) -> None:
    """Draw a phantom patient's true expansion map."""
    from hemexp.phantom.truth_map import Gridding, run_draw_truth_map
    from hemexp.preprocess.interpolate import resample_blood

    run_draw_truth_map(
        Layout(args.results),
        args.patient,
        read_patient_row(args.samples, args.patient)["center"],
        section(args, "phantom"),
        args.draws,
        Gridding(args.reference, resample_blood),
    )


def draw_true_what_if(args: Arguments) -> None:
    """Draw what is true of a phantom patient had they come at another time, or on another drug."""
    from hemexp.cohort import read_sheet
    from hemexp.phantom.truth_map import Gridding
    from hemexp.phantom.what_if_map import run_draw_true_what_if
    from hemexp.preprocess.interpolate import resample_blood

    row = read_sheet(args.samples, args.patient).iloc[0]
    gridding = Gridding(args.reference, resample_blood)
    run_draw_true_what_if(
        Layout(args.results), row, section(args, "phantom"), args.draws, gridding
    )


def _step(args: Arguments, step: Callable[[], None], products: ScanFiles | PairFiles) -> None:
    """Runs a step of one patient, who is set aside if it fails and `--on-failure` says so."""
    from hemexp.preprocess.exclude import run_or_exclude

    table = products.qc if isinstance(products, PairFiles) else products.volumes
    run_or_exclude(step, args.patient, table, products, args.on_failure)


def _strip(args: Arguments, run: Callable[..., None], table: Path, files: Iterable[Path]) -> None:
    """Runs a step on a raw scan; `files` are its products, `table` among them."""
    from hemexp.preprocess.exclude import run_or_exclude

    raw = scan_files(read_patient_row(args.samples, args.patient), args.session)
    settings = section(args, "preprocess.skull_strip")
    limits = load_section("preprocess.raw", args.raw or args.settings)
    layout, scan = Layout(args.results), (args.patient, args.session)
    step = partial(run, layout, *scan, raw, settings, limits)
    # The reason of an exclusion leaves the project with the report; the log keeps the path.
    named = {path: f"{args.session}_{image} of the sheet" for image, path in raw.items()}
    hidden = {path: name for path, name in named.items() if not is_phantom(path)}
    run_or_exclude(step, args.patient, table, files, args.on_failure, hidden)


def strip_skull(args: Arguments) -> None:
    """Check a scan, mask its brain, measure its blood."""
    from hemexp.preprocess.strip import run_strip_skull

    files = Layout(args.results).native(args.patient, args.session)
    _strip(args, run_strip_skull, files.volumes, files)


def strip_unmasked(args: Arguments) -> None:
    """Check a scan without masks, mask its brain."""
    from hemexp.preprocess.unmasked import run_strip_unmasked

    layout, scan = Layout(args.results), (args.patient, args.session)
    files, table = layout.native(*scan), layout.stripped(*scan)
    _strip(args, run_strip_unmasked, table, [files.ct, files.brain, table])


def register_followup(args: Arguments) -> None:
    """Align a pair of scans rigidly."""
    from hemexp.preprocess.register import run_register_followup

    layout, settings = Layout(args.results), section(args, "preprocess.registration")
    step = partial(run_register_followup, layout, args.patient, settings, args.reference)
    _step(args, step, layout.pair(args.patient))


def resample_scan(args: Arguments) -> None:
    """Bring a scan onto the grid."""
    from hemexp.preprocess.resample import run_resample_scan

    layout, scan = Layout(args.results), (args.patient, args.session)
    alone = read_patient_row(args.samples, args.patient)["split"] == "predict"
    reference = args.session if alone else args.reference
    step = partial(run_resample_scan, layout, *scan, section(args, "preprocess.grid"), reference)
    _step(args, step, layout.grid(*scan))


def collect_qc(args: Arguments) -> None:
    """Gather quality, exclusions and outcomes."""
    from hemexp.preprocess.collect import run_collect_qc
    from hemexp.sheet import read_left_out

    settings = section(args, "preprocess")
    left = read_left_out(args.samples)
    run_collect_qc(Layout(args.results), sheet(args), args.samples, settings, left)


def write_qc(args: Arguments) -> None:
    """Write the page that shows every patient's preprocessing."""
    from hemexp.made_masks import accepted_file
    from hemexp.preprocess.page import run_write_qc

    limits = section(args, "preprocess.quality")
    run_write_qc(Layout(args.results), limits, accepted_file(args.samples))
