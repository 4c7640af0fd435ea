"""Settings, sample sheet and small input functions. No rule lives here."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

sys.path.insert(0, workflow.basedir)

from hemexp import HemexpError
from hemexp.code_hash import hash_code
from hemexp.cohort import digest_rows, read_sheet
from hemexp.columns import CENTER_ONSET, CLINICAL, INTERVAL, SESSIONS
from hemexp.config import load_settings
from hemexp.data_files import data_files
from hemexp.desk.ablations import AS_DESIGNED, KEPT, ablated_settings, shared_rooms
from hemexp.desk.missing_masks import check_masks
from hemexp.layout import MAPS, Layout, is_phantom
from hemexp.made_masks import accepted_file
from hemexp.outcomes import read_excluded
from hemexp.provenance import canonical_json, hash_file, write_json, write_text
from hemexp.release.check import check_released
from hemexp.release.models import models_layout, part_files
from hemexp.segmentation.folds import fold_patients, masked_patients
from hemexp.sheet import read_left_out
from hemexp.sheet import scan_files as named_files
from hemexp.what_if_cases import AS_IS, CASES

RESULTS = Layout()
# Templates, style and script of all pages are data, which no hash of code sees.
PAGE_FILES = [hash_file(path) for path in sorted(Path(workflow.basedir, "hemexp/pages").iterdir())]
CAPTIONS = Path(".snakemake", "captions").absolute()

try:
    SETTINGS = load_settings(config)
    check_released(SETTINGS, RESULTS.root)
    PATIENTS = read_sheet(SETTINGS.samples, need_training=SETTINGS.need_training)
    # Whom the sheet leaves out, and the column that says so: nothing is made of them.
    LEAVES = read_left_out(SETTINGS.samples)
    EVERYONE = PATIENTS
    if LEAVES:
        EVERYONE = read_sheet(SETTINGS.samples, need_training=False, everyone=True)
    # Scans whose masks the workflow makes.
    UNMASKED = check_masks(PATIENTS, SETTINGS.segmentation)
except HemexpError as error:
    raise WorkflowError(str(error)) from error

# Processes that share a training. Snakemake would give each of them all threads of the job.
PROCESSES = SETTINGS.processes.as_json()
TORCHRUN = "OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 torchrun --standalone --nproc-per-node"
LAUNCH = {
    f"HEMEXP_LAUNCH_{room.upper()}": f"env {TORCHRUN} {count} --no-python" if count > 1 else ""
    for room, count in PROCESSES.items()
}

# The package needs no installation and is found from any `--directory`. What a failure does and
# how many processes train are no params: changing them must not make anything again.
ENVIRONMENT = {
    "PYTHONPATH": workflow.basedir,
    "HEMEXP_ON_FAILURE": SETTINGS.preprocess.on_failure,
} | LAUNCH
shell.prefix(
    "export "
    + " ".join(f"{key}={shlex.quote(value)}" for key, value in ENVIRONMENT.items())
    + "; "
)

SHEET = SETTINGS.samples
PHANTOM = [patient for patient, ct in PATIENTS["baseline_ct"].items() if is_phantom(ct)]
OUTSIDE = ["expansion_prob"] if "expansion_prob" in PATIENTS else []
SEX = ["sex"] if "sex" in PATIENTS else []
HOURS = [INTERVAL] if INTERVAL in PATIENTS else []
# What a forecast reads of the sheet: the centre's hours where they stand for an unknown onset.
READ = PATIENTS.assign(
    **{CENTER_ONSET: PATIENTS[CENTER_ONSET].where(PATIENTS["onset_to_ct_h"].isna())}
)
ON_FAILURE = SETTINGS.preprocess.on_failure
# `gpu` is asked for where a network runs, unless the config says cpu.
GPU = 0 if SETTINGS.device == "cpu" else 1
# The cluster profile sends those rules here; empty is the default partition. Asked once: jobs
# inherit the variable.
if "HEMEXP_GPU_PARTITION" not in os.environ:
    partitions = subprocess.getoutput("sinfo -h -o %R").split() if shutil.which("sinfo") else []
    partition = "gpu" if GPU and "gpu" in partitions else ""
    os.environ.update(HEMEXP_GPU_PARTITION=partition)


wildcard_constraints:
    patient="[A-Za-z0-9]+",
    session="baseline|followup",


def linked_image():
    """The container, by a link in the run's folder: Snakemake takes no image whose path has a space."""
    link, image = Path(".snakemake", "hemexp.sif"), Path(workflow.basedir, "envs", "hemexp.sif")
    wanted = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
    if wanted and not (link.is_symlink() and link.readlink() == image):
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(image)
    return str(link)


def of_split(*splits):
    """Patients of the given splits, in the sheet's order."""
    return list(PATIENTS.index[PATIENTS["split"].isin(splits)])


TRAIN, VAL, TEST, PREDICT = (of_split(split) for split in ("train", "val", "test", "predict"))
PAIRED = of_split("train", "val", "test")
# Who has given masks of both scans to learn from.
MASKED = masked_patients(PATIENTS.loc[TRAIN])
# Plain dictionaries: input functions run several times for every job of every patient.
ROWS = PATIENTS.to_dict("index")
SESSIONS_OF = dict.fromkeys(ROWS, ("baseline",)) | dict.fromkeys(PAIRED, SESSIONS)
SCORED = of_split(*SETTINGS.evaluation.splits)
# The oracle knows the outcome: there is none for patients to predict.
FORECAST = SCORED + ([] if SETTINGS.sampling.indicator == "oracle" else PREDICT)
# Patients of `val` are drawn to weigh the maps of all others.
DRAWN = list(dict.fromkeys([*VAL, *FORECAST]))
# Whose follow-ups are drawn again with another onset or anticoagulant; the oracle's would not move.
WHAT_IF = sorted(SCORED)[: SETTINGS.evaluation.what_if_patients]
WHAT_IF = [] if SETTINGS.sampling.indicator == "oracle" else WHAT_IF


def paths(files):
    """Paths of the layout as the rules take them: text, by name where they have names."""
    if hasattr(files, "_asdict"):
        return {name: str(path) for name, path in files._asdict().items()}
    return str(files)


def log_file(rule, of=""):
    """Where a rule's job says what it does."""
    return str(RESULTS.log(rule, of))


def benchmark_file(rule, of=""):
    """Where time and memory of a rule's job are kept."""
    return str(RESULTS.benchmark(rule, of))


_ONE, _SCAN = "{patient}", ("{patient}", "{session}")
NATIVE, GRID = paths(RESULTS.native(*_SCAN)), paths(RESULTS.grid(*_SCAN))
REGISTERED = paths(RESULTS.pair(_ONE))
# What `strip-skull` hands on: images, without table and picture.
NATIVE_IMAGES = paths(RESULTS.native(*_SCAN).images)
STRIPPED = paths(RESULTS.stripped(*_SCAN))
VOLUMES, GRID_CT, TRANSFORM = NATIVE["volumes"], GRID["ct"], REGISTERED["transform"]
SEGMENTATION = paths(RESULTS.segmentation(*_SCAN))
# The last sample kept stands for all: when more are asked for, it is the one that is missing.
SAMPLED = [
    paths(RESULTS.sample_volumes(_ONE)),
    paths(RESULTS.sample(_ONE, SETTINGS.sampling.kept - 1).labels),
]
LATENTS, RECONSTRUCTION = paths(RESULTS.latents(_ONE)), paths(RESULTS.reconstruction(_ONE))
TRUE_MAP = [paths(RESULTS.true_map(_ONE)), paths(RESULTS.redraws(_ONE))]
DRAWN_WHAT_IF = [
    paths(RESULTS.what_if(_ONE)),
    *(paths(RESULTS.what_if_map(_ONE, case)) for case in CASES),
]
TRUE_WHAT_IF = [
    paths(RESULTS.true_what_if(_ONE)),
    *(paths(RESULTS.true_what_if_map(_ONE, case)) for case in (AS_IS, *CASES)),
]
POOLED_MAP = paths(RESULTS.pooled_map(_ONE))


# What is known of made masks; nothing where all masks are given.
SEGMENTED = [SEGMENTATION.format(patient=name, session=session) for name, session in UNMASKED]
if UNMASKED and SETTINGS.segmentation.method == "network":
    SEGMENTED += [paths(RESULTS.error_model)]
    SEGMENTED += [] if SETTINGS.segmentation.model else [paths(RESULTS.crossfit_summary)]


def error_of_mask(wildcards):
    """What the error of a patient's found baseline mask is read from; nothing of a given one."""
    if (wildcards.patient, "baseline") not in UNMASKED:
        return []
    own = SEGMENTATION.format(patient=wildcards.patient, session="baseline")
    return [own, *(file for file in SEGMENTED if file == paths(RESULTS.error_model))]


def per_scan(pattern, patients):
    """A file for every scan that the given patients have."""
    return [
        pattern.format(patient=patient, session=session)
        for patient in patients
        for session in SESSIONS_OF[patient]
    ]


def these_scans(scans):
    """A constraint on `{session}` of files `sub-{patient}_ses-{session}_`: of these scans."""
    return "|".join(f"(?<=/sub-{patient}_ses-){session}" for patient, session in scans) or "(?!)"


def other_scans(scans):
    """The same of all but these scans."""
    behind = (f"(?<!/sub-{patient}_ses-{session})" for patient, session in scans)
    return f"({'|'.join(SESSIONS)}){''.join(behind)}"


def before_masks(wildcards):
    """The group of what is done before masks: the patient's, unless masks are made in between."""
    made = any(patient == wildcards.patient for patient, _ in UNMASKED)
    return "unmasked" if made else "patient"


def kept(patients):
    """Those whom preprocessing did not exclude; known only once its quality control is done."""
    if ON_FAILURE == "stop":
        return patients
    excluded = set(read_excluded(checkpoints.collect_qc.get().output.excluded))
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


def released_files(room, part):
    """Files of a released model; its rule is there only where the config names one."""
    return model_files(SETTINGS.released()[room], part)


def model_files(folder, part):
    """Files of a model in a folder of released ones; none where no folder is named."""
    if not folder:
        return []
    return [str(path) for path in part_files(models_layout(folder, part), part)]


def trained_again(jobs):
    """Models that stand and that this run will train or fit anew, in the order of their rules."""
    names = ("train_segmentation", "train_autoencoder", "fit_expansion", "train_diffusion")
    models = {job.rule.name: Path(job.output[0]) for job in jobs if job.rule.name in names}
    return [name for name in names if name in models and models[name].exists()]


def section(name):
    """One room's settings, or a part of them (`preprocess.grid`), as JSON for a rule's params.

    A function: in text, Snakemake would take what stands in braces for wildcards.
    """
    value = SETTINGS
    for part in name.split("."):
        value = getattr(value, part)
    text = canonical_json(value.as_json())
    return lambda wildcards: text


def rows(patients, *columns):
    """Hash of some cells of the sheet: a rule that reads them reruns when they change."""
    return digest_rows(READ.loc[patients], columns)


def clinical_row(wildcards):
    """Hash of what a forecast reads of one patient's row."""
    return rows([wildcards.patient], *CLINICAL, *OUTSIDE, *HOURS, CENTER_ONSET)


def scan_files(wildcards):
    """The raw CT and masks of one scan; a folder of DICOM counts as one input."""
    files = named_files(ROWS[wildcards.patient], wildcards.session).values()
    # A label file may hold both masks. The data of a .nhdr are its own file.
    return [part for name in dict.fromkeys(files) for part in map(str, data_files(Path(name)))]


def page_row(wildcards):
    """Hash of what a patient's page reads of the sheet."""
    columns = (
        "patient_id",
        "center",
        "split",
        "baseline_ct",
        *CLINICAL,
        *OUTSIDE,
        *HOURS,
        CENTER_ONSET,
    )
    # Its answers to an unknown onset take the centre's hours, whoever the patient is.
    return digest_rows(PATIENTS.loc[[wildcards.patient]], columns)


def center_row(wildcards):
    """Hash of what the phantom reads of one patient's row."""
    return rows([wildcards.patient], "center")


def what_if_row(wildcards):
    """Hash of what the phantom reads of one patient's row to change it."""
    return rows([wildcards.patient], "center", *CASES.values())


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


def true_map(wildcards):
    """What the phantom drew again for one of its patients; nothing for a real one."""
    return expand(TRUE_MAP, patient=wildcards.patient) if wildcards.patient in PHANTOM else []


def page_inputs(wildcards):
    """What a patient's page is made from; of an excluded patient it is the reason alone."""
    one = [wildcards.patient]
    if not kept(one):
        return paths(RESULTS.excluded)
    drawn = [*SAMPLED, paths(RESULTS.sample_map(_ONE, "expansion")), POOLED_MAP]
    known = [paths(RESULTS.features(_ONE)), *([REGISTERED["qc"]] if one[0] in PAIRED else [])]
    truth = true_map(wildcards)[:1] if one[0] in SCORED else []
    scans = [*per_scan(NATIVE["ct"], one), *per_scan(VOLUMES, one)]
    grid = expand(GRID_CT, patient=one, session="baseline")
    models = [paths(RESULTS.growth_models), *error_of_mask(wildcards)]
    return [*expand([*drawn, *known], patient=one), *truth, *scans, *grid, *models]


def what_happened(wildcards):
    """The follow-up's volumes, which the oracle alone may see."""
    if SETTINGS.sampling.indicator != "oracle":
        return []
    return per_scan(VOLUMES, [wildcards.patient])


def ablation_tables():
    """Ablations that were run: a report shows those that are there, and asks for none."""
    return [
        f"{name}/{table}:{hash_file(path)}"
        for table in KEPT
        for name, path in RESULTS.ablations(table).items()
    ]


def in_report(kind, name, path, caption):
    """A file with its caption in `snakemake --report`, which reads captions from files."""
    text = CAPTIONS / f"{kind}-{name}.rst"
    # Jobs on a cluster read this file too: what stands there already is not written again.
    if not text.exists() or text.read_text(encoding="utf-8") != caption:
        write_text(text, caption)
    labels = {kind: name.replace("_", " ")}
    return report(paths(path), caption=str(text), category=f"{kind.title()}s", labels=labels)


def of_fold(pattern):
    """An input function: a file for every scan of the patients whom a fold's network never sees."""

    def files(wildcards):
        return per_scan(
            pattern, fold_patients(MASKED, int(wildcards.fold), SETTINGS.segmentation.folds)
        )

    return files


def for_training(wildcards, attempt):
    """Memory for a training that holds all scans with masks, 20 MB each at most."""
    scans_mb = 20 * len(SESSIONS) * len(MASKED)
    return (6000 + scans_mb) * PROCESSES["segmentation"] * 2 ** (attempt - 1)


def growing(amount):
    """A resource that doubles with every retry."""

    def grow(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return grow


def for_scan(wildcards, attempt):
    """Memory by the size of the raw CT, doubled with every retry; asked for job by job."""
    from hemexp.preprocess.memory import scan_mb

    return scan_mb(ROWS[wildcards.patient][f"{wildcards.session}_ct"]) * 2 ** (attempt - 1)


OVERRIDES = {
    path.stem: path
    for path in sorted(Path(workflow.basedir, "config", "ablations").glob("*.yaml"))
}


def ablated(wildcards):
    """Settings of an ablation; nothing it scores depends on how a report looks."""
    return ablated_settings(config, OVERRIDES.get(wildcards.ablation))
