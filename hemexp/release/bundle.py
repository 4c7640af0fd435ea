"""Verb `export-bundle`: the trained models as a MONAI bundle.

`python -m monai.bundle run` reads its inference config, which calls `hemexp.release.forecast`.
Weights are safetensors: nothing is unpickled.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from hemexp import Fault, HemexpError
from hemexp.autoencoder.network import load_autoencoder
from hemexp.diffusion.network import load_diffusion
from hemexp.provenance import hash_file, versions, write_atomically, write_json, write_text
from hemexp.release.bundle_texts import LICENSE, describe_bundle, write_readme
from hemexp.release.forecast import IMAGES, VALUES
from hemexp.sampling.run import MODELS
from hemexp.settings import Settings

log = logging.getLogger(__name__)

TOLD = ("patient", "images", "native", "grid", "sampling", "seed", "device")
"""Parts of the inference config that `draw_followups` takes by their own names."""


def inference_config(settings: Settings) -> dict[str, Any]:
    """The bundle's `inference.json`: the patient's part is null, for the user to fill in."""
    sampling = settings.sampling.as_json()
    if sampling["indicator"] == "oracle":
        log.warning("a bundle forecasts: sampling.indicator 'oracle' becomes 'predicted' in it")
        sampling["indicator"] = "predicted"
    return {
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "auto",
        "seed": settings.seed,
        "grid": settings.preprocess.grid.as_json(),
        "sampling": sampling,
        "patient": dict.fromkeys(("patient_id", *VALUES)),
        "images": dict.fromkeys(IMAGES),
        "native": dict.fromkeys(IMAGES),
        "draw": {
            "_target_": "hemexp.sampling.forecast.draw_followups",
            "_mode_": "callable",
            "models": "$@bundle_root + '/models'",
            "out": "@output_dir",
            "batch_slices": settings.latents.batch_slices,
            **{key: f"@{key}" for key in TOLD},
        },
        "run": ["$@draw()"],
    }


def check_models(results: Path, settings: Settings) -> None:
    """Loads the networks and compares them with the settings.

    Raises:
        HemexpError: A model is missing or was made with other settings.
    """
    needed = {*MODELS, "autoencoder/model.json", "diffusion/model.json"}
    missing = [results / name for name in sorted(needed) if not (results / name).is_file()]
    if missing:
        raise HemexpError(
            *(
                Fault(str(path), "no such file", "a trained model", "Run the workflow to its end.")
                for path in missing
            )
        )
    cpu = torch.device("cpu")
    load_autoencoder(results / "autoencoder", cpu)
    load_diffusion(results / "diffusion", cpu)
    for room in ("autoencoder", "diffusion"):
        record = json.loads((results / room / "model.json").read_text(encoding="utf-8"))
        wanted = getattr(settings, room).as_json()
        unlike = [key for key in wanted if record["settings"].get(key) != wanted[key]]
        slices = settings.preprocess.grid.shape[2]
        if record.get("n_slices", slices) != slices:
            unlike.append(f"preprocess.grid.shape ({record['n_slices']} slices)")
        if unlike:
            raise HemexpError(
                Fault(
                    str(results / room),
                    f"a model made with other {', '.join(unlike)}",
                    "the settings of the config",
                    "Name the config of that run, or rerun it.",
                )
            )


def copy_models(results: Path, models: Path) -> dict[str, str]:
    """Copies weights as they are and records without their lists of patients; gives hashes."""
    for name in MODELS:
        with write_atomically(models / name) as temporary:
            shutil.copyfile(results / name, temporary)
    records = [models / name for name in MODELS if name.endswith(".json")]
    for record in [*records, *(models / r / "model.json" for r in ("autoencoder", "diffusion"))]:
        content = json.loads((results / record.relative_to(models)).read_text(encoding="utf-8"))
        write_json(record, {key: value for key, value in content.items() if key != "inputs"})
    return {name: hash_file(models / name) for name in MODELS}


def run_export_bundle(results: Path, out: Path, settings: Settings) -> None:
    """Verb `export-bundle`: writes the trained models as a MONAI bundle.

    Args:
        results: Folder of all results; needs the four models.
        out: Folder of the bundle, such as `bundle/`; files in it are replaced.
        settings: The settings of the run that made `results`.

    Raises:
        HemexpError: A model is missing or was made with other settings.
    """
    if settings.latents.posterior != "mean":
        raise HemexpError(
            Fault(
                "config, key latents.posterior",
                repr(settings.latents.posterior),
                "'mean'",
                "A bundle encodes to posterior means: export a run that was trained on them.",
            )
        )
    check_models(results, settings)
    hashes = copy_models(results, out / "models")
    trained = json.loads((results / "diffusion" / "model.json").read_text(encoding="utf-8"))
    grid = settings.preprocess.grid
    write_json(out / "configs" / "inference.json", inference_config(settings))
    # For `hemexp predict`: what a raw scan goes through before the models can read it.
    write_json(out / "configs" / "preprocess.json", settings.preprocess.as_json())
    write_json(
        out / "configs" / "metadata.json",
        describe_bundle(grid, versions(), hashes, settings.preset),
    )
    write_text(out / "docs" / "README.md", write_readme(grid, trained["patients"]))
    write_text(out / "LICENSE", LICENSE)
    log.info("%s: a MONAI bundle; its docs/README.md says how to run it", out)
