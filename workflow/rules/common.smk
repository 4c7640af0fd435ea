"""Settings, sample sheet and small input functions. No rule lives here."""

import shlex
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from hemexp import HemexpError
from hemexp.cohort import NUMBERS, digest_rows, is_phantom, read_excluded, read_samples
from hemexp.preprocess.scans import PAIR, STRIPPED
from hemexp.provenance import canonical_json, hash_code
from hemexp.config import load_settings

try:
    SETTINGS = load_settings(config)
    SAMPLES = read_samples(SETTINGS.samples)
except HemexpError as error:
    raise WorkflowError(str(error)) from error

# The package needs no installation and is found from any `--directory`. What a failure does is
# no param: changing it must not make every scan again.
shell.prefix(
    f"export PYTHONPATH={shlex.quote(workflow.basedir)} "
    f"HEMEXP_ON_FAILURE={SETTINGS.preprocess.on_failure}; "
)

SHEET = SETTINGS.samples
PHANTOM = [patient for patient, ct in SAMPLES["baseline_ct"].items() if is_phantom(ct)]
OUTSIDE = ["expansion_prob"] if "expansion_prob" in SAMPLES else []
ON_FAILURE = SETTINGS.preprocess.on_failure
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

_PATIENT = "results/preprocess/sub-{patient}/sub-{patient}_"
_SCAN = f"{_PATIENT}ses-{{session}}_"
NATIVE = {name: f"{_SCAN}space-native_{ending}" for name, ending in STRIPPED.items()}
GRID = {name: f"{_SCAN}space-grid_{ending}" for name, ending in STRIPPED.items()}
REGISTERED = {name: f"{_PATIENT}{ending}" for name, ending in PAIR.items()}
# What `strip-skull` hands on: images, without table and picture.
NATIVE_IMAGES = {name: NATIVE[name] for name in ("ct", "iph", "ivh", "brain")}
VOLUMES, GRID_CT, TRANSFORM = NATIVE["volumes"], GRID["ct"], REGISTERED["transform"]
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


def kept(patients):
    """Those whom preprocessing did not exclude; known only once its quality control is done."""
    if ON_FAILURE == "stop":
        return patients
    excluded = read_excluded(checkpoints.collect_qc.get().output.excluded)
    return [patient for patient in patients if patient not in excluded]


def kept_scans(pattern, patients):
    """An input function: a file for every scan of the patients who are kept."""

    def files(wildcards):
        return per_scan(pattern, kept(patients))

    return files


def kept_files(patterns, patients, **values):
    """An input function: files of every patient who is kept."""

    def files(wildcards):
        return expand(patterns, patient=kept(patients), **values)

    return files


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


def other_session(wildcards):
    """Brain mask of the reference and the transform, for the scan that is not the reference."""
    reference = SETTINGS.preprocess.reference
    if wildcards.session == reference or wildcards.patient not in PAIRED:
        return {}
    brain = NATIVE["brain"].format(patient=wildcards.patient, session=reference)
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
