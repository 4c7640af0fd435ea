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
from hemexp.layout import Layout, ScanImages
from hemexp.provenance import hash_file, versions, write_atomically, write_json, write_text
from hemexp.release.bundle_texts import LICENSE, describe_bundle, write_readme
from hemexp.release.forecast import BUNDLE_NUMBERS, draw_followups
from hemexp.release.models import SEGMENTER, BundleLayout, held_parts, part_files, without_patients
from hemexp.sampling.models import load_trained, model_files
from hemexp.settings import Settings

log = logging.getLogger(__name__)

INPUTS = ("patient", "images", "native")
OPTIONS = ("grid", "sampling", "batch_slices", "seed", "device")
"""Parts of the inference config that `draw_followups` takes: the patient, and how to draw."""


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
        "batch_slices": settings.latents.batch_slices,
        "patient": dict.fromkeys(("patient_id", *BUNDLE_NUMBERS)),
        "images": dict.fromkeys(ScanImages._fields),
        "native": dict.fromkeys(ScanImages._fields),
        "draw": {
            "_target_": f"{draw_followups.__module__}.{draw_followups.__name__}",
            "_mode_": "callable",
            "models": "$@bundle_root + '/models'",
            "out": "@output_dir",
            "inputs": {key: f"@{key}" for key in INPUTS},
            "options": {key: f"@{key}" for key in OPTIONS},
        },
        "run": ["$@draw()"],
    }


def check_models(layout: Layout, settings: Settings) -> None:
    """Loads the networks and compares them with the settings.

    Raises:
        HemexpError: A model is missing or was made with other settings.
    """
    missing = [path for path in sorted(exported_files(layout)) if not path.is_file()]
    if missing:
        raise HemexpError(
            *(
                Fault(str(path), "no such file", "a trained model", "Run the workflow to its end.")
                for path in missing
            )
        )
    load_trained(layout, torch.device("cpu"))
    for room in ("autoencoder", "diffusion"):
        model = layout.network(room).model
        record = json.loads(model.read_text(encoding="utf-8"))
        wanted = getattr(settings, room).as_json()
        unlike = [key for key in wanted if record["settings"].get(key) != wanted[key]]
        slices = settings.preprocess.grid.shape[2]
        if record.get("n_slices", slices) != slices:
            unlike.append(f"preprocess.grid.shape ({record['n_slices']} slices)")
        if unlike:
            raise HemexpError(
                Fault(
                    str(model.parent),
                    f"a model made with other {', '.join(unlike)}",
                    "the settings of the config",
                    "Name the config of that run, or rerun it.",
                )
            )


def exported_files(layout: Layout) -> set[Path]:
    """All files of the models: what samples are drawn with, what makes masks, and the records."""
    return {path for part in held_parts(layout) for path in part_files(layout, part)}


def copy_models(layout: Layout, bundle: Layout) -> dict[str, str]:
    """Copies weights as they are and records without their lists of patients; gives hashes."""
    for source in exported_files(layout):
        target = bundle.root / source.relative_to(layout.root)
        if source.suffix == ".json":
            write_json(target, without_patients(json.loads(source.read_text(encoding="utf-8"))))
            continue
        with write_atomically(target) as temporary:
            shutil.copyfile(source, temporary)
    files = model_files(bundle)
    if SEGMENTER in held_parts(bundle):
        files += (bundle.segmenter().weights, bundle.error_model)
    return {str(path.relative_to(bundle.root)): hash_file(path) for path in files}


def run_export_bundle(layout: Layout, out: Path, settings: Settings) -> None:
    """Verb `export-bundle`: writes the trained models as a MONAI bundle.

    Args:
        layout: Of the run; its four models are needed.
        out: Folder of the bundle, such as `bundle/`; files in it are replaced.
        settings: The settings of that run.

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
    check_models(layout, settings)
    bundle, grid = BundleLayout(out), settings.preprocess.grid
    hashes = copy_models(layout, bundle.models)
    trained = json.loads(layout.network("diffusion").model.read_text(encoding="utf-8"))
    write_json(bundle.inference, inference_config(settings))
    write_json(bundle.preprocess, settings.preprocess.as_json())
    write_json(bundle.metadata, describe_bundle(grid, versions(), hashes, settings.preset))
    makes_masks = SEGMENTER in held_parts(bundle.models)
    readme = write_readme(grid, trained["patients"], makes_masks=makes_masks)
    write_text(bundle.readme, readme)
    write_text(bundle.license, LICENSE)
    log.info("%s: a MONAI bundle; its docs/README.md says how to run it", out)
