"""The methods paragraph of a run, with the numbers that its records hold."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.outcomes import read_excluded
from hemexp.provenance import write_sidecars, write_text
from hemexp.settings import Grid
from hemexp.tables import read_table

NOTICE = "Research software, not a medical device."
SOURCES = (
    "cohort/outcomes.tsv",
    "preprocess/excluded.tsv",
    "autoencoder/model.safetensors",
    "autoencoder/history.tsv",
    "expansion/model.json",
    "diffusion/model.safetensors",
    "diffusion/history.tsv",
)
"""What the text is about, beside the records of every patient's scans and samples."""

REFERENCE = "an independent implementation of the HemExp method (arXiv 2606.15304)"


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
    told = record["settings"]
    return (
        f"A multi-head variational autoencoder (CT, IPH, IVH; channels {_list(told['channels'])}, "
        f"stem factor {told['stem_factor']}, {told['latent_channels']} latent channels) "
        + _trained(record, f"in batches of {told['batch_slices'] * told['accumulate']} slices")
        + _reached(losses)
    )


def say_diffusion(record: Mapping[str, Any], losses: Mapping[str, float]) -> str:
    """The denoiser, how it was trained, where its loss ended."""
    told = record["settings"]
    drive = {
        "growth": "growth and the drift of the bleed's centroid",
        "flag": "the expansion flag",
    }[told["condition"]]
    return (
        f"A conditional denoiser ({told['denoiser']}, channels {_list(told['channels'])}) of the "
        f"latent difference, conditioned on {drive}, "
        f"with a {told['schedule']} noise schedule, "
        + _trained(record, f"in batches of {told['batch_stacks'] * told['accumulate']} stacks")
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


def say_sampling(record: Mapping[str, Any], patients: int) -> str:
    """How follow-ups were drawn."""
    told = record["settings"]
    even = (
        "What the samples were told was spread evenly over its forecast (scrambled Halton). "
        if told["indicator"] == "predicted"
        else ""
    )
    return (
        f"{told['samples']} follow-ups of each of {patients} patients were drawn with "
        f"{told['evaluations']} evaluations of the {told['sampler']} sampler (guidance "
        f"{told['guidance']:g}, indicator {told['indicator']}, volumes "
        f"{'matched' if told['match_volume'] else 'not matched'} to the drawn growth). {even}"
        f"Seed {record['seed']}."
    )


def _trained(record: Mapping[str, Any], batches: str) -> str:
    told = record["settings"]
    if record["verb"].startswith("adopt"):
        return "was taken over from a released model as it was."
    return (
        f"was trained for {told['steps']} steps {batches} with {told['optimiser']}, learning "
        f"rate {told['learning_rate']:g}, seed {record['seed']}."
    )


def _reached(losses: Mapping[str, float]) -> str:
    if not losses:
        return ""
    return " Losses at its end: " + ", ".join(f"{k} {v:.3g}" for k, v in losses.items()) + "."


def _by(sides: tuple[float, ...]) -> str:
    return " x ".join(f"{side:g}" for side in sides)


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))


def write_paragraphs(results: Path) -> str:
    """The text, from the records in a run's results.

    Args:
        results: Folder of all results: cohort, preprocess, autoencoder, diffusion, expansion and,
            where any were drawn, samples.
    """
    models = {
        room: _read(results / room / "model.json")
        for room in ("autoencoder", "diffusion", "expansion")
    }
    losses = {room: _last(results / room / "history.tsv") for room in ("autoencoder", "diffusion")}
    native, grid = (
        _read(next(results.glob(f"preprocess/sub-*/*_ses-baseline_space-{space}_volumes.json")))
        for space in ("native", "grid")
    )
    drawn = sorted(results.glob("samples/sub-*/volumes.json"))
    excluded = len(read_excluded(results / "preprocess" / "excluded.tsv"))
    parts = {
        "Patients": say_patients(read_table(results / "cohort" / "outcomes.tsv"), excluded),
        "Images": say_images(
            Grid.model_validate(grid["settings"]), native["settings"]["skull_strip"]
        ),
        "Autoencoder": say_autoencoder(models["autoencoder"], losses["autoencoder"]),
        "Growth": say_expansion(models["expansion"]),
        "Diffusion": say_diffusion(models["diffusion"], losses["diffusion"]),
        "Sampling": say_sampling(_read(drawn[0]), len(drawn))
        if drawn
        else "No follow-up was drawn.",
    }
    last = _read(drawn[-1]) if drawn else models["diffusion"]
    made = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    parts["Software"] = f"hemexp, {REFERENCE}; commit {last['git']}; {made}."
    body = "\n\n".join(f"**{name}.** {text}" for name, text in parts.items())
    return f"# Methods of this run\n\n{NOTICE}\n\n{body}\n"


def run_write_methods(results: Path, out: Path) -> None:
    """Writes `methods.md`.

    Args:
        results: Folder of all results.
        out: `results/report/methods.md`.
    """
    started = time.perf_counter()
    write_text(out, write_paragraphs(results))
    inputs = [results / name for name in SOURCES]
    write_sidecars([out], verb="write-report", settings={}, inputs=inputs, started=started)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _last(history: Path) -> dict[str, float]:
    """The last row of a training's curves without its step; {} of a model that was taken over."""
    table = read_table(history)
    return {} if table.empty else table.drop(columns="step").iloc[-1].astype(float).to_dict()
