"""The methods paragraph of a run, with the numbers that its records hold."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.anatomy.reference_model import load_reference
from hemexp.layout import Layout
from hemexp.notice import NOTICE
from hemexp.outcomes import read_excluded
from hemexp.provenance import sidecar_path, write_sidecars, write_text
from hemexp.settings import Grid, Reference
from hemexp.tables import read_table

ABOUT = "an independent implementation of the HemExp method (arXiv 2606.15304)"


def say_patients(outcomes: pd.DataFrame, excluded: int) -> str:
    """How many patients of which centres were used for what.

    Args:
        outcomes: `outcomes.tsv`: `center`, `split`, `he` (NaN without a follow-up).
        excluded: How many preprocessing set aside.
    """
    counts = outcomes.groupby(["split", "center"], sort=True).size()
    splits = [
        f"{counts[split].sum()} for {split} ("
        + ", ".join(f"centre {center}: {n}" for center, n in counts[split].items())
        + ")"
        for split in outcomes["split"].unique()
    ]
    known = outcomes["he"].dropna()
    text = (
        f"{len(outcomes)} patients of {outcomes['center'].nunique()} centre(s): "
        f"{'; '.join(splits)}."
    )
    if len(known):
        text += (
            f" Of {len(known)} with a follow-up, {known.sum():.0f} had expansion (IPH growth "
            "of at least 6 mL or 33 %)."
        )
    return text + (f" {excluded} were excluded by preprocessing." if excluded else "")


def say_images(grid: Grid, strip: Mapping[str, Any]) -> str:
    """What the scans went through."""
    return (
        f"Raw scans were checked, skull-stripped ({strip['method']}), pairs aligned rigidly, and "
        f"each voxel interpolated once onto {_by(grid.shape)} voxels of {_by(grid.spacing_mm)} "
        "mm. Volumes were measured in native space."
    )


def say_autoencoder(record: Mapping[str, Any], losses: Mapping[str, float]) -> str:
    """The VAE, how it was trained, where its losses ended."""
    used = record["settings"]
    return (
        f"A multi-head variational autoencoder (CT, IPH, IVH; channels {_list(used['channels'])}, "
        f"stem factor {used['stem_factor']}, {used['latent_channels']} latent channels) "
        + _trained(record, f"in batches of {used['batch_slices'] * used['accumulate']} slices")
        + _reached(losses)
    )


def say_diffusion(
    record: Mapping[str, Any], losses: Mapping[str, float], reference: Reference
) -> str:
    """The denoiser, how it was trained, where its loss ended."""
    used = record["settings"]
    drawn = {
        "difference": "latent difference between follow-up and reference",
        "followup": "follow-up's latents, beside those of the reference",
    }[used["target"]]
    condition = {
        "growth": "growth and the drift of the bleed's centroid",
        "flag": "the expansion flag",
    }[used["condition"]]
    ivh = " and the growth of IVH" if reference.ivh else ""
    return (
        f"A conditional denoiser ({used['denoiser']}, channels {_list(used['channels'])}) of the "
        f"{drawn}, conditioned on {condition}{ivh}, with a {used['schedule']} noise schedule, "
        + _trained(record, f"in batches of {used['batch_stacks'] * used['accumulate']} stacks")
        + _reached(losses)
    )


def say_expansion(record: Mapping[str, Any]) -> str:
    """The model that growth is drawn from."""
    text = f"Growth was drawn from the model `{record['chosen']}`"
    if record["verb"].startswith("adopt"):
        return f"{text}, taken over from a released model as it was."
    return (
        f"{text}, fitted to {record['patients']} training patients "
        f"({record['expanders']} with expansion), seed {record['seed']}."
    )


def say_reference(reference: Reference) -> str:
    """What follow-ups are drawn relative to."""
    shell = {
        "none": "",
        "even": "its bleed grown evenly to the volume told",
        "tilted": "its bleed grown to the volume told, further towards the drift told",
    }[reference.shell]
    warp = "its tissue pushed aside by growth" if reference.warp else ""
    ivh = "its ventricles filled to the IVH told" if reference.ivh else ""
    changes = "; ".join(filter(None, (shell, warp, ivh)))
    return "The reference was the baseline" + (f" with {changes}." if changes else " itself.")


def say_sampling(record: Mapping[str, Any], patients: int, reference: Reference) -> str:
    """How follow-ups were drawn."""
    used = record["settings"]
    drawn = (
        f"were drawn with {used['evaluations']} evaluations of the {used['sampler']} sampler "
        f"(guidance {used['guidance']:g} on growth and {used['clinical_guidance']:g} on clinical "
        "values, "
        if used["network"]
        else "are their references alone, for the denoiser drew nothing ("
    )
    even = (
        "What the samples were asked for was spread evenly over its forecast (scrambled Halton). "
        if used["indicator"] == "predicted"
        else ""
    )
    finish = (
        "Each was finished: volumes brought to those told, stray pieces taken out, CT made to "
        "agree with the masks, noise drawn anew where training pairs say how. "
        if used["finish"]
        else "They are as decoded. "
    )
    return (
        f"{used['samples']} follow-ups of each of {patients} patients {drawn}indicator "
        f"{used['indicator']}). {even}{finish}{say_reference(reference)} Seed {record['seed']}."
    )


def _trained(record: Mapping[str, Any], batches: str) -> str:
    used = record["settings"]
    if record["verb"].startswith("adopt"):
        return "was taken over from a released model as it was."
    return (
        f"was trained for {used['steps']} steps {batches} with {used['optimiser']}, learning "
        f"rate {used['learning_rate']:g}, seed {record['seed']}."
    )


def _reached(losses: Mapping[str, float]) -> str:
    if not losses:
        return ""
    return " Losses at its end: " + ", ".join(f"{k} {v:.3g}" for k, v in losses.items()) + "."


def _by(sides: tuple[float, ...]) -> str:
    return " x ".join(f"{side:g}" for side in sides)


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))


def make_paragraphs(layout: Layout) -> dict[str, str]:
    """What is said of each part of a run, from the records in its results.

    Args:
        layout: Of the run: cohort, preprocess, autoencoder, latents' scale, diffusion, expansion
            and, where any were drawn, samples.
    """
    outcomes = read_table(layout.outcomes)
    patients = sorted(outcomes["patient_id"])
    native, grid = (
        _read(sidecar_path(scan(patients[0], "baseline").volumes))
        for scan in (layout.native, layout.grid)
    )
    records = [sidecar_path(layout.sample_volumes(name)) for name in patients]
    drawn = [_read(path) for path in records if path.exists()]
    autoencoder, diffusion = (layout.network(room) for room in ("autoencoder", "diffusion"))
    denoiser, reference = _read(diffusion.model), load_reference(layout.scale).kind
    last = drawn[-1] if drawn else denoiser
    made = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    return {
        "Patients": say_patients(outcomes, len(read_excluded(layout.excluded))),
        "Images": say_images(
            Grid.model_validate(grid["settings"]), native["settings"]["skull_strip"]
        ),
        "Autoencoder": say_autoencoder(_read(autoencoder.model), _last(autoencoder.history)),
        "Growth": say_expansion(_read(layout.growth_models)),
        "Diffusion": say_diffusion(denoiser, _last(diffusion.history), reference),
        "Sampling": say_sampling(drawn[0], len(drawn), reference)
        if drawn
        else "No follow-up was drawn.",
        "Software": f"hemexp, {ABOUT}; commit {last['git']}; {made}.",
    }


def write_paragraphs(layout: Layout) -> str:
    """The text of `methods.md`."""
    parts = make_paragraphs(layout)
    body = "\n\n".join(f"**{name}.** {text}" for name, text in parts.items())
    return f"# Methods of this run\n\n{NOTICE}\n\n{body}\n"


def run_write_methods(layout: Layout) -> None:
    """Writes `methods.md`.

    Its sidecar names what the text is about, beside the records of all scans and samples.

    Args:
        layout: Of the run.
    """
    started = time.perf_counter()
    write_text(layout.methods, write_paragraphs(layout))
    networks = [layout.network(room) for room in ("autoencoder", "diffusion")]
    inputs = [layout.outcomes, layout.excluded, layout.growth_models, layout.scale]
    inputs += [path for files in networks for path in (files.weights, files.history)]
    write_sidecars(
        [layout.methods], verb="write-report", settings={}, inputs=inputs, started=started
    )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _last(history: Path) -> dict[str, float]:
    """The last row of a training's curves without its step; {} of a model that was taken over."""
    table = read_table(history)
    return {} if table.empty else table.drop(columns="step").iloc[-1].astype(float).to_dict()
