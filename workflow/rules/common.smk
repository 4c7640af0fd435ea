"""Settings, sample sheet and small input functions. No rule lives here."""

import shlex
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from hemexp import HemexpError
from hemexp.cohort import FILES, NUMBERS, digest_rows, is_phantom, read_samples
from hemexp.provenance import canonical_json, hash_code
from hemexp.settings import load_settings

try:
    SETTINGS = load_settings(config)
    SAMPLES = read_samples(SETTINGS.samples)
except HemexpError as error:
    raise WorkflowError(str(error)) from error

# The package needs no installation and is found from any `--directory`.
shell.prefix(f"export PYTHONPATH={shlex.quote(workflow.basedir)}; ")

SHEET = SETTINGS.samples
PHANTOM = [patient for patient, ct in SAMPLES["baseline_ct"].items() if is_phantom(ct)]
OUTSIDE = ["expansion_prob"] if "expansion_prob" in SAMPLES else []
# `gpu` is asked for where a network runs, unless the config says cpu.
GPU = 0 if SETTINGS.device == "cpu" else 1


wildcard_constraints:
    patient="[A-Za-z0-9]+",
    session="baseline|followup",


def of_split(*splits):
    """Patients of the given splits, in the sheet's order."""
    return list(SAMPLES.index[SAMPLES["split"].isin(splits)])


TRAIN, VAL, TEST, PREDICT = (of_split(split) for split in ("train", "val", "test", "predict"))
SCANS = [(patient, "baseline") for patient in SAMPLES.index] + [
    (patient, "followup") for patient in of_split("train", "val", "test")
]
PAIRED = of_split("train", "val", "test")
SCORED = of_split(*SETTINGS.evaluation.splits)
# The oracle knows the outcome: there is none for patients to predict.
FORECAST = SCORED + ([] if SETTINGS.sampling.indicator == "oracle" else PREDICT)

_SCAN = "results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_"
NATIVE_BRAIN = f"{_SCAN}space-native_desc-brain_mask.nii.gz"
VOLUMES = f"{_SCAN}space-native_volumes.tsv"
GRID_CT = f"{_SCAN}space-grid_ct.nii.gz"
TRANSFORM = (
    "results/preprocess/sub-{patient}/sub-{patient}_from-followup_to-baseline_mode-image_xfm.tfm"
)
# The last sample stands for all: when more are asked for, it is the one that is missing.
SAMPLED = [
    "results/samples/sub-{patient}/volumes.tsv",
    f"results/samples/sub-{{patient}}/sub-{{patient}}_sample-{SETTINGS.sampling.samples - 1}"
    "_dseg.nii.gz",
]
LATENTS = "results/latents/sub-{patient}/sub-{patient}_latents.safetensors"
RECONSTRUCTION = "results/latents/sub-{patient}/sub-{patient}_reconstruction.tsv"


def per_scan(pattern, patients):
    """A file for every scan that the given patients have."""
    return [
        pattern.format(patient=patient, session=session)
        for patient, session in SCANS
        if patient in patients
    ]


def section(name):
    """One room's settings, or a part of them (`preprocess.grid`), as JSON for a rule's params."""
    value = SETTINGS
    for part in name.split("."):
        value = getattr(value, part)
    return canonical_json(value.as_json())


def rows(patients, *columns):
    """Hash of some cells of the sheet: a rule that reads them reruns when they change."""
    return digest_rows(SAMPLES.loc[patients], columns)


def clinical_row(wildcards):
    """Hash of what a forecast reads of one patient's row."""
    return rows([wildcards.patient], *NUMBERS, *OUTSIDE)


def scan_files(wildcards):
    """The raw CT and masks of one scan; a folder of DICOM counts as one input."""
    row = SAMPLES.loc[wildcards.patient]
    names = [f"{wildcards.session}_{image}" for image in ("ct", "iph", "ivh", "brain")]
    return [row[name] for name in names if row.get(name)]


def center_row(wildcards):
    """Hash of what the phantom reads of one patient's row."""
    return rows([wildcards.patient], "center")


def both_sessions(wildcards):
    """Raw files of both scans of a patient."""
    return [*SAMPLES.loc[wildcards.patient, list(FILES)]]


def other_session(wildcards):
    """Brain mask of the reference and the transform, for the scan that is not the reference."""
    reference = SETTINGS.preprocess.reference
    if wildcards.session == reference or wildcards.patient not in PAIRED:
        return {}
    brain = NATIVE_BRAIN.format(patient=wildcards.patient, session=reference)
    return {"reference_brain": brain, "transform": TRANSFORM.format(patient=wildcards.patient)}


def grid_scans(wildcards):
    """Grid scans of one patient."""
    return per_scan(GRID_CT, [wildcards.patient])


def what_happened(wildcards):
    """The follow-up's volumes, which the oracle alone may see."""
    if SETTINGS.sampling.indicator != "oracle":
        return []
    return per_scan(VOLUMES, [wildcards.patient])


def growing(amount):
    """A resource that doubles with every retry."""

    def grow(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return grow
