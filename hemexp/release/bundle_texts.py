"""What a bundle says of itself: metadata by MONAI's bundle specification, README, licence."""

from collections.abc import Mapping
from typing import Any

from hemexp import __version__
from hemexp.notice import NOTICE
from hemexp.settings import Grid

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
WARNING = f"{NOTICE} Nothing it draws may guide the care of a patient."
RUNS_WITH = ("hemexp", "SimpleITK", "nibabel", "scikit-learn")

LICENSE = """\
Code: the bundle calls the Python package `hemexp`, MIT License, Copyright (c) 2026 the hemexp
authors; the licence's text comes with that package.

Weights and tables in models/: no licence is given here. They were learned from patients; whoever
trained them states under what terms they may be used, in this file, before passing them on.
"""


def _image(format_: str, channels: dict[str, str], grid: Grid, **facts: Any) -> dict[str, Any]:  # noqa: ANN401
    """Format of one image of the bundle, as the specification names its parts."""
    return {
        "type": "image",
        "format": format_,
        "modality": "CT",
        "num_channels": len(channels),
        "spatial_shape": list(grid.shape),
        "is_patch_data": False,
        "channel_def": channels,
    } | facts


def describe_bundle(
    grid: Grid, versions: Mapping[str, str], hashes: Mapping[str, str], preset: str
) -> dict[str, Any]:
    """Content of `metadata.json` (MONAI bundle specification, schema of 2024-07-25).

    Args:
        grid: The grid the models were trained on.
        versions: Of the packages the models were exported with.
        hashes: Of the model files.
        preset: Name of the preset they were trained with.
    """
    ct, iph, ivh = "NCCT in HU, 0 outside the brain", "IPH mask", "IVH mask"
    inputs = _image(
        "hounsfield",
        {"0": ct, "1": iph, "2": ivh, "3": "brain mask"},
        grid,
        dtype="float32",
        value_range=[0, 100],
    )
    labels = _image(
        "segmentation",
        {"0": "0 background, 1 IPH, 2 IVH"},
        grid,
        dtype="uint8",
        value_range=[0, 2],
    )
    followup = _image("hounsfield", {"0": ct}, grid, dtype="int16", value_range=[])
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: "exported by hemexp export-bundle"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"].split("+")[0],
        "numpy_version": versions["numpy"],
        "required_packages_version": {name: versions[name] for name in RUNS_WITH},
        "name": "Follow-up CT of a brain haemorrhage",
        "task": "Draws plausible follow-up head CT scans of an intracerebral haemorrhage",
        "description": "A multi-head autoencoder, distributions of haematoma and IVH growth, and "
        "a conditional latent diffusion model of the difference between a follow-up and a "
        "reference that is made of the baseline.",
        "intended_use": WARNING,
        "authors": "the hemexp authors (code); the trainers of these weights",
        "copyright": "see LICENSE",
        "data_type": "nibabel",
        "references": ["HemExp, arXiv 2606.15304 (hemexp is an independent implementation)"],
        "network_data_format": {
            "inputs": {"image": inputs},
            "outputs": {"ct": followup, "labels": labels},
        },
        "hemexp": {"preset": preset, "models": dict(hashes)},
    }


README = """\
# Follow-up CT of a brain haemorrhage: a hemexp bundle

> **{warning}**

From a baseline head CT with masks of its blood (IPH: intraparenchymal, IVH: intraventricular) and
clinical values this bundle draws plausible follow-up scans. It was written by `hemexp
export-bundle` {version} and learned from {patients} patients.

## Run it
```
pip install hemexp=={version} fire
python -m monai.bundle run --config_file "['configs/inference.json', 'patient.json']"
```
`patient.json` fills in what `configs/inference.json` leaves open:
```
{{
  "patient#patient_id": "P1", "patient#baseline_iph_ml": 14.2, "patient#baseline_ivh_ml": 0,
  "patient#onset_to_ct_h": 2.5, "patient#anticoagulant": 0, "patient#age": 71,
  "images#ct": "sub-P1_ses-baseline_space-grid_ct.nii.gz",
  "images#iph": "sub-P1_ses-baseline_space-grid_desc-iph_mask.nii.gz",
  "images#ivh": "sub-P1_ses-baseline_space-grid_desc-ivh_mask.nii.gz",
  "images#brain": "sub-P1_ses-baseline_space-grid_desc-brain_mask.nii.gz",
  "native#ct": "sub-P1_ses-baseline_space-native_ct.nii.gz",
  "native#iph": "sub-P1_ses-baseline_space-native_desc-iph_mask.nii.gz",
  "native#ivh": "sub-P1_ses-baseline_space-native_desc-ivh_mask.nii.gz",
  "native#brain": "sub-P1_ses-baseline_space-native_desc-brain_mask.nii.gz"
}}
```
- **Images**: as hemexp's `preprocess` writes them: skull-stripped, on a grid of {shape} voxels of
  {spacing} mm. Another grid is refused.
- **Native**: the same before it was brought onto the grid, in any orientation: there the bleed is
  measured for its probability of expansion.
- **Values**: volumes in mL, measured in native space; hours from onset; `anticoagulant` and
  `antiplatelet` 0 or 1; `age` in years, `gcs` 3-15, `sbp` in mmHg. Leave out what is unknown: it
  stays unknown. `expansion_prob` replaces the built-in probability of expansion.
- **Written** to `eval/sub-ID/`: `sample-K_ct` and `sample-K_dseg` (1 IPH, 2 IVH), probability maps
  and `volumes.tsv`. More samples: `--sampling#samples 50`; sample k stays what it was.
{masks}
Weights are safetensors: nothing is unpickled, so there is no `model.pt`.

## Before you pass it on
It holds no image, name or patient_id. `models/expansion/model.json` holds bare sorted lists: of
growths in mL of training patients without expansion, of IVH changes where IVH hardly grew, and of
residuals where it did. What weights and lists reveal of patients, and whether consent covers
sharing them, is for you to judge. State the terms of use in `LICENSE`.
"""


MASKS = """\
- **No masks**: `hemexp predict --model .` with a raw CT and no mask finds IPH and IVH by
  `models/segmentation`. Its page says how far off their volume is expected to be. Look at them.
"""


def write_readme(grid: Grid, patients: int, *, makes_masks: bool) -> str:
    """Text of `docs/README.md`.

    Args:
        grid: The grid the models were trained on.
        patients: How many they learned from.
        makes_masks: Whether a network that finds IPH and IVH is among them.
    """
    return README.format(
        masks=MASKS if makes_masks else "",
        warning=WARNING,
        version=__version__,
        patients=patients,
        shape=" x ".join(map(str, grid.shape)),
        spacing=" x ".join(f"{size:g}" for size in grid.spacing_mm),
    )


RECALIBRATION = """
## Recalibrated
On {date}, on {patients} patients of centre {center}, {expanders} of them with expansion, from the
models whose `expansion/model.json` has the hash {from}. p(expansion), growth and the limits of its
intervals are that centre's; networks and growth of IVH are as released.
`docs/recalibration.tsv`: before and after, on patients held out. `models/expansion/model.json`
keeps hashes of these patients' baseline scans, so that nobody is learned from twice, and where
their outcomes fell in the forecasts, sorted.
"""


def describe_recalibration(entry: Mapping[str, Any]) -> str:
    """What the README says of one recalibration."""
    return RECALIBRATION.format_map(entry)
