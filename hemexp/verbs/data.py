"""Verbs of the rooms phantom and preprocess: from a sheet to scans on the grid."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hemexp.columns import IMAGES, SESSIONS
from hemexp.config import load_section
from hemexp.layout import is_phantom
from hemexp.provenance import patient_file
from hemexp.sheet import read_patient_row
from hemexp.verbs.options import Arguments, section, sheet


def _phantom_ids(args: Arguments) -> list[str]:
    samples = sheet(args)
    return [p for p, ct in samples["baseline_ct"].items() if is_phantom(ct)]


def draw_cohort(args: Arguments) -> None:
    """Write a sample sheet of phantom patients."""
    from hemexp.phantom.sheet import run_draw_cohort

    run_draw_cohort(
        args.out,
        section(args, "phantom"),
        per_center=args.per_center,
        validation=args.validation,
        held_out=args.held_out,
    )


def draw_patient(args: Arguments) -> None:
    """Draw a phantom patient's raw scans."""
    from hemexp.phantom.draw import run_draw_patient

    center = read_patient_row(args.samples, args.patient)["center"]
    run_draw_patient(args.patient, center, args.results / "phantom", section(args, "phantom"))


def collect_truth(args: Arguments) -> None:
    """Gather what the phantom knows."""
    from hemexp.phantom.collect_truth import run_collect_truth

    folder = args.results / "phantom"
    run_collect_truth(_phantom_ids(args), folder, folder / "truth.tsv", section(args, "phantom"))


def collect_what_if_truth(args: Arguments) -> None:
    """Gather what is true of the phantom's patients had they come earlier or later."""
    from hemexp.phantom.what_if import run_collect_what_if_truth

    out = args.results / "phantom" / "what_if_truth.tsv"
    run_collect_what_if_truth(_phantom_ids(args), out, section(args, "phantom"))


def draw_truth_map(args: Arguments) -> None:
    """Draw a phantom patient's true expansion map."""
    from hemexp.phantom.truth_map import run_draw_truth_map
    from hemexp.preprocess.interpolate import resample_blood

    endings = (f"ses-baseline_space-grid_desc-{name}_mask.nii.gz" for name in ("iph", "ivh"))
    run_draw_truth_map(
        args.patient,
        read_patient_row(args.samples, args.patient)["center"],
        tuple(_product(args, ending) for ending in endings),
        args.results / "evaluation",
        section(args, "phantom"),
        args.draws,
        args.reference,
        resample_blood,
    )


def _product(args: Arguments, ending: str) -> Path:
    return patient_file(args.results / "preprocess", args.patient, ending)


def _native(args: Arguments, session: str) -> dict[str, Path]:
    """A scan's files in standard form."""
    from hemexp.preprocess.scans import NATIVE

    return _products(args, f"ses-{session}_space-native", NATIVE)


def _products(args: Arguments, start: str, endings: dict[str, str]) -> dict[str, Path]:
    return {name: _product(args, f"{start}_{ending}") for name, ending in endings.items()}


def _step(
    args: Arguments,
    step: Callable[[], None],
    table: str,
    products: dict[str, Path],
    hidden: dict[str, str] | None = None,
) -> None:
    """Runs a step of one patient, who is set aside if it fails and `--on-failure` says so."""
    from hemexp.preprocess.exclude import run_or_exclude

    row = {"patient_id": args.patient}
    run_or_exclude(step, products[table], products.values(), row, args.on_failure, hidden)


def strip_skull(args: Arguments) -> None:
    """Check a scan, mask its brain, measure its blood."""
    from hemexp.preprocess.scans import STRIPPED
    from hemexp.preprocess.strip import run_strip_skull

    row = read_patient_row(args.samples, args.patient)
    names = {image: row.get(f"{args.session}_{image}") for image in (*IMAGES, "brain")}
    raw = {image: name for image, name in names.items() if name}
    outputs = _products(args, f"ses-{args.session}_space-native", STRIPPED)
    settings = section(args, "preprocess.skull_strip")
    limits = load_section("preprocess.raw", args.raw)
    step = partial(run_strip_skull, args.patient, args.session, raw, outputs, settings, limits)
    # The reason of an exclusion leaves the project with the report; the log keeps the path.
    named = {path: f"{args.session}_{image} of the sheet" for image, path in raw.items()}
    hidden = {path: name for path, name in named.items() if not is_phantom(path)}
    _step(args, step, "volumes", outputs, hidden)


def register_followup(args: Arguments) -> None:
    """Align a pair of scans rigidly."""
    from hemexp.preprocess.register import run_register_followup
    from hemexp.preprocess.scans import PAIR

    scans = (_native(args, session) for session in SESSIONS)
    outputs = {name: _product(args, ending) for name, ending in PAIR.items()}
    settings = section(args, "preprocess.registration")
    step = partial(run_register_followup, args.patient, *scans, outputs, settings, args.reference)
    _step(args, step, "qc", outputs)


def resample_scan(args: Arguments) -> None:
    """Bring a scan onto the grid."""
    from hemexp.preprocess.resample import run_resample_scan
    from hemexp.preprocess.scans import PAIR, STRIPPED

    split = read_patient_row(args.samples, args.patient)["split"]
    alone = args.session == args.reference or split == "predict"
    outputs = _products(args, f"ses-{args.session}_space-grid", STRIPPED)
    step = partial(
        run_resample_scan,
        args.patient,
        args.session,
        _native(args, args.session),
        outputs,
        section(args, "preprocess.grid"),
        None if alone else _native(args, args.reference)["brain"],
        None if alone else _product(args, PAIR["transform"]),
    )
    _step(args, step, "volumes", outputs)


def collect_qc(args: Arguments) -> None:
    """Gather quality, exclusions and outcomes."""
    from hemexp.preprocess.collect import Outputs, run_collect_qc

    folder = args.results / "preprocess"
    outcomes = args.results / "cohort" / "outcomes.tsv"
    outputs = Outputs(folder / "qc.tsv", folder / "excluded.tsv", outcomes)
    run_collect_qc(Path(args.samples), folder, outputs, section(args, "preprocess"))


def write_qc(args: Arguments) -> None:
    """Write the page that shows every patient's preprocessing."""
    from hemexp.preprocess.page import run_write_qc

    folder = args.results / "preprocess"
    run_write_qc(
        folder / "qc.tsv",
        folder / "excluded.tsv",
        folder,
        folder / "qc.html",
        section(args, "preprocess.quality"),
    )
