"""Verbs of the rooms segmentation to sampling: what is learned, and what is drawn with it."""

from hemexp.config import load_settings, read_config
from hemexp.layout import Layout
from hemexp.provenance import leave_empty
from hemexp.verbs.options import (
    Arguments,
    chosen_patients,
    kept,
    section,
    training,
    training_stripped,
)


def train_segmentation(args: Arguments) -> None:
    """Train the network that makes masks, or the one of a fold."""
    from hemexp.segmentation.folds import masked_patients
    from hemexp.segmentation.train import run_train_segmentation

    settings, masked = section(args, "segmentation"), masked_patients(training_stripped(args))
    layout = Layout(args.results)
    start = Layout(args.start_from) if args.start_from else None
    run_train_segmentation(layout, masked, args.fold, settings, args.seed, args.device, start)


def segment_scan(args: Arguments) -> None:
    """Make the IPH and IVH masks of a scan that has none."""
    from hemexp.preprocess.exclude import run_or_exclude
    from hemexp.preprocess.unmasked import hand_on_failure, run_complete_scan
    from hemexp.segmentation.segment import run_segment_scan

    layout, scan = Layout(args.results), (args.patient, args.session)
    native, settings = layout.native(*scan), section(args, "segmentation")
    made = [native.iph, native.ivh, native.picture, native.volumes, layout.segmentation(*scan)]

    def step() -> None:
        run_segment_scan(layout, *scan, settings, args.device)
        run_complete_scan(layout, *scan)

    if not hand_on_failure(layout, *scan, made):
        run_or_exclude(step, args.patient, native.volumes, made, args.on_failure)


def crossfit_masks(args: Arguments) -> None:
    """Mark the scans of a fold by the network that did not see its patients."""
    from hemexp.segmentation.folds import masked_patients
    from hemexp.segmentation.segment import run_crossfit_masks

    masked = masked_patients(training_stripped(args))
    run_crossfit_masks(Layout(args.results), masked, args.fold, args.device)


def score_segmentation(args: Arguments) -> None:
    """Compare given masks with those of networks that did not see the patient."""
    from hemexp.segmentation.folds import masked_patients
    from hemexp.segmentation.score import run_score_segmentation

    patients, settings = training_stripped(args), section(args, "segmentation")
    centers = patients.loc[masked_patients(patients), "center"]
    run_score_segmentation(Layout(args.results), centers, settings.folds)


def train_autoencoder(args: Arguments) -> None:
    """Train the multi-head VAE."""
    from hemexp.autoencoder.train import run_train_autoencoder

    settings = section(args, "autoencoder")
    patient_ids = list(training(args).index)
    run_train_autoencoder(Layout(args.results), patient_ids, settings, args.seed, args.device)


def fit_push(args: Arguments) -> None:
    """Fit how strongly growth pushes midline and ventricles."""
    from hemexp.latents.push import run_fit_push

    run_fit_push(Layout(args.results), training(args))


def encode_patients(args: Arguments) -> None:
    """Cache the posterior means of scans."""
    from hemexp.latents.encode import run_encode_patients

    layout, (chosen, gone) = Layout(args.results), chosen_patients(args)
    settings, references = section(args, "latents"), args.references
    run_encode_patients(layout, chosen, settings, args.seed, args.device, references=references)
    leave_empty(file for p in gone for file in (layout.latents(p), layout.reconstruction(p)))


def fit_scale(args: Arguments) -> None:
    """Measure latents over training patients."""
    from hemexp.latents.scale import run_fit_scale

    reference = section(args, "latents").reference
    run_fit_scale(Layout(args.results), list(training(args).index), reference)


def measure_bleed(args: Arguments) -> None:
    """Measure the bleeds of baselines: form, densities, surroundings."""
    from hemexp.expansion.measure import run_measure_bleed

    layout, (chosen, gone) = Layout(args.results), chosen_patients(args)
    run_measure_bleed(layout, chosen)
    leave_empty(layout.features(patient_id) for patient_id in gone)


def fit_expansion(args: Arguments) -> None:
    """Fit and compare the models of p(expansion) and growth."""
    from hemexp.expansion.train import run_fit_expansion

    layout = Layout(args.results)
    run_fit_expansion(layout, training(args), section(args, "expansion"), args.seed)


def predict_expansion(args: Arguments) -> None:
    """Forecast growth of all patients."""
    from hemexp.expansion.predict import run_predict_expansion

    run_predict_expansion(Layout(args.results), kept(args))


def answer_what_if(args: Arguments) -> None:
    """Forecast growth for other onset times and anticoagulant states."""
    from hemexp.expansion.what_if import run_answer_what_if

    patients = kept(args)
    run_answer_what_if(Layout(args.results), patients[patients["split"] != "train"])


def train_diffusion(args: Arguments) -> None:
    """Train the conditional denoiser."""
    from hemexp.diffusion.train import run_train_diffusion

    settings = section(args, "diffusion")
    run_train_diffusion(Layout(args.results), training(args), settings, args.seed, args.device)


def sample_followups(args: Arguments) -> None:
    """Draw a patient's follow-ups."""
    from hemexp.cohort import read_sheet
    from hemexp.sampling.run import run_sample_followups

    sheet, settings = read_sheet(args.samples, args.patient), section(args, "sampling")
    run_sample_followups(Layout(args.results), sheet, settings, args.seed, args.device)


def redraw_what_if(args: Arguments) -> None:
    """Draw a patient's follow-ups had they come at another time, or on another drug."""
    from hemexp.cohort import read_sheet
    from hemexp.sampling.what_if import run_redraw_what_if

    sheet, settings = read_sheet(args.samples, args.patient), section(args, "sampling")
    run_redraw_what_if(Layout(args.results), sheet, settings, args.seed, args.device)


def adopt_autoencoder(args: Arguments) -> None:
    """Take over a released autoencoder."""
    _adopt("autoencoder", args)


def adopt_scale(args: Arguments) -> None:
    """Take over the scale of latents that belongs to a released denoiser."""
    _adopt("scale", args)


def adopt_diffusion(args: Arguments) -> None:
    """Take over a released denoiser."""
    _adopt("diffusion", args)


def adopt_expansion(args: Arguments) -> None:
    """Take over released models of p(expansion) and growth."""
    _adopt("expansion", args)


def adopt_segmentation(args: Arguments) -> None:
    """Take over a released network that makes masks, with the model of its error."""
    _adopt("segmentation", args)


def _adopt(part: str, args: Arguments) -> None:
    from hemexp.release.adopt import run_adopt

    run_adopt(part, args.model, Layout(args.results))


def export_bundle(args: Arguments) -> None:
    """Write the trained models as a MONAI bundle."""
    from hemexp.release.bundle import run_export_bundle

    settings = load_settings(read_config(args.settings))
    run_export_bundle(Layout(args.results), args.out, settings)
