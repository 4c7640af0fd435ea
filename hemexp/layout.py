"""Every path below `results/`, for the package and the workflow alike.

Given `{patient}` and `{session}` in place of a patient and a session, the same methods give the
patterns of the rules. No hash of code sees this module: a product by another name is another
output of its rule.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FOLDERS = {"preprocess": ("preprocess", "cohort"), "sampling": ("samples",)}
"""Where a room's products lie, if not in the folder of its name alone."""

RESULTS = "results"
"""Folder of a run's results, below its working directory."""

NOT_BIDS = (
    *("ablations", "autoencoder", "benchmarks", "cohort", "compiled", "diffusion"),
    *("evaluation", "expansion"),
    *("figures", "latents", "logs", "phantom", "preprocess", "report", "samples"),
    *("scored_models", "segmentation", "settings.json", "tables"),
)
"""What lies in the folder of results and is in no place that BIDS knows."""

MAPS = ("iph", "ivh", "expansion")
"""Probability maps of a patient's samples; expansion is blood where the baseline had none."""


class RawFiles(NamedTuple):
    """A raw scan as the phantom draws it."""

    ct: Path
    iph: Path
    ivh: Path


class ScanImages(NamedTuple):
    """CT and masks of one scan."""

    ct: Path
    iph: Path
    ivh: Path
    brain: Path


class ScanFiles(NamedTuple):
    """All that is kept of one scan in one space.

    Attributes:
        ct: CT in HU.
        iph: IPH mask.
        ivh: IVH mask.
        brain: Brain mask.
        picture: PNG for the quality control.
        volumes: One-row table of what was measured.
    """

    ct: Path
    iph: Path
    ivh: Path
    brain: Path
    picture: Path
    volumes: Path

    @property
    def images(self) -> ScanImages:
        """The four images."""
        return ScanImages(*self[:4])


class PairFiles(NamedTuple):
    """What registration leaves: ITK transform, one-row table, PNG."""

    transform: Path
    qc: Path
    picture: Path


class NetworkFiles(NamedTuple):
    """A trained network: weights, record, curves; the checkpoint lives until it has finished."""

    weights: Path
    model: Path
    history: Path
    checkpoint: Path


NETWORK_NAMES = ("model.safetensors", "model.json", "history.tsv", "last.ckpt")
"""File names of a trained network, in the order of `NetworkFiles`."""


class SampleFiles(NamedTuple):
    """A drawn follow-up: CT in HU and labels (1 = IPH, 2 = IVH)."""

    ct: Path
    labels: Path


@dataclass(frozen=True)
class Layout:
    """Where everything lies below one folder.

    Attributes:
        root: `results/` of a run; the folder of released models and the one that `predict`
            writes are laid out alike.
        samples: Folder of all patients' samples; a bundle writes them into the root itself.
    """

    root: Path = Path(RESULTS)
    samples: str = "samples"

    def of_patient(self, folder: str, patient_id: str, ending: str) -> Path:
        """`folder/sub-ID/sub-ID_ending`: where the products of one patient lie."""
        return self.root / folder / f"sub-{patient_id}" / f"sub-{patient_id}_{ending}"

    @property
    def settings(self) -> Path:
        """All settings of the run, as the preset and the config file resolve to."""
        return self.root / "settings.json"

    # what makes it a BIDS derivatives dataset

    @property
    def dataset(self) -> Path:
        """What made the files."""
        return self.root / "dataset_description.json"

    @property
    def participants(self) -> Path:
        """Patients of the sheet; the JSON beside it explains the columns."""
        return self.root / "participants.tsv"

    @property
    def bidsignore(self) -> Path:
        """What BIDS has no name for, or another folder."""
        return self.root / ".bidsignore"

    def bids_folders(self) -> list[Path]:
        """Folders of patients in the places that BIDS has for them; they hold links alone."""
        return sorted(path for path in self.root.glob("sub-*") if path.is_dir())

    def bids_link(self, product: Path) -> Path:
        """Where BIDS looks for a patient's image: `sub-ID/ses-S/anat`, or `sub-ID/anat`."""
        patient, session = re.match(r"(sub-[A-Za-z0-9]+)_(ses-[a-z]+)?", product.name).groups()
        folder = self.root / patient / session if session else self.root / patient
        return folder / "anat" / product.name

    def bids_kind(self, product: Path) -> Path:
        """The JSON that holds for all images of its kind, of any patient and session."""
        kind = re.sub(r"sub-[A-Za-z0-9]+_(ses-[a-z]+_)?", "", product.name)
        return self.root / kind.replace(".nii.gz", ".json")

    # phantom

    def raw(self, patient_id: str, session: str) -> RawFiles:
        """Raw scan of a phantom patient."""
        names = (f"ses-{session}_{image}.nii.gz" for image in RawFiles._fields)
        return RawFiles(*(self.of_patient("phantom", patient_id, name) for name in names))

    def truth(self, patient_id: str) -> Path:
        """What the phantom knows of one patient."""
        return self.of_patient("phantom", patient_id, "truth.json")

    @property
    def truths(self) -> Path:
        """The same of all patients, a row each."""
        return self.root / "phantom" / "truth.tsv"

    @property
    def what_if_truths(self) -> Path:
        """What would be true of them with another onset or drug."""
        return self.root / "phantom" / "what_if_truth.tsv"

    # preprocess

    def _scan(self, patient_id: str, session: str, space: str) -> ScanFiles:
        start = f"ses-{session}_space-{space}_"
        masks = [f"desc-{name}_mask.nii.gz" for name in ("iph", "ivh", "brain")]
        endings = ["ct.nii.gz", *masks, "qc.png", "volumes.tsv"]
        return ScanFiles(*(self.of_patient("preprocess", patient_id, start + e) for e in endings))

    def native(self, patient_id: str, session: str) -> ScanFiles:
        """A scan in its own space."""
        return self._scan(patient_id, session, "native")

    def stripped(self, patient_id: str, session: str) -> Path:
        """What was measured of a native scan before its masks were made, one row."""
        ending = f"ses-{session}_space-native_desc-stripped_volumes.tsv"
        return self.of_patient("preprocess", patient_id, ending)

    def grid(self, patient_id: str, session: str) -> ScanFiles:
        """A scan on the common grid."""
        return self._scan(patient_id, session, "grid")

    def pair(self, patient_id: str) -> PairFiles:
        """Registration of a patient's two scans."""
        endings = (
            "from-followup_to-baseline_mode-image_xfm.tfm",
            "desc-registration_qc.tsv",
            "desc-checkerboard_qc.png",
        )
        return PairFiles(*(self.of_patient("preprocess", patient_id, e) for e in endings))

    @property
    def qc(self) -> Path:
        """Quality control, a row a scan."""
        return self.root / "preprocess" / "qc.tsv"

    @property
    def qc_page(self) -> Path:
        """The page that shows it."""
        return self.root / "preprocess" / "qc.html"

    @property
    def excluded(self) -> Path:
        """Patients left out, and why."""
        return self.root / "preprocess" / "excluded.tsv"

    @property
    def outcomes(self) -> Path:
        """Native volumes, growth and expansion, a row a patient."""
        return self.root / "cohort" / "outcomes.tsv"

    # segmentation

    def segmenter(self, fold: int | str | None = None) -> NetworkFiles:
        """The network that makes masks; with a fold, the one that did not see its patients."""
        folder = self.root / "segmentation"
        folder = folder if fold is None else folder / f"fold-{fold}"
        return NetworkFiles(*(folder / name for name in NETWORK_NAMES))

    def segmentation(self, patient_id: str, session: str) -> Path:
        """Volumes and uncertainty of the masks made of a scan, one row."""
        return self.of_patient("segmentation", patient_id, f"ses-{session}_segmentation.tsv")

    def crossfit_scan(self, patient_id: str, session: str) -> Path:
        """Labels that a network that did not see the patient finds in a scan with given masks."""
        return self.of_patient(
            "segmentation", patient_id, f"ses-{session}_desc-crossfit_dseg.nii.gz"
        )

    def crossfit_fold(self, fold: int | str) -> Path:
        """Volumes and uncertainty of these, a row a scan of the fold."""
        return self.segmenter(fold).model.with_name("segmentation.tsv")

    @property
    def crossfit(self) -> Path:
        """These against the given masks, a row a scan."""
        return self.root / "segmentation" / "crossfit.tsv"

    @property
    def crossfit_summary(self) -> Path:
        """The same, a row a centre and mask."""
        return self.root / "segmentation" / "summary.tsv"

    @property
    def error_model(self) -> Path:
        """How far off the volume of a made mask is expected to be."""
        return self.root / "segmentation" / "error_model.json"

    # autoencoder, latents, diffusion

    def network(self, room: str) -> NetworkFiles:
        """The network of the room `autoencoder` or `diffusion`."""
        return NetworkFiles(*(self.root / room / name for name in NETWORK_NAMES))

    @property
    def compiled(self) -> Path:
        """Folder of what `torch.compile` has made for the networks of the run."""
        return self.root / "compiled"

    def latents(self, patient_id: str) -> Path:
        """Posterior means of a patient's scans."""
        return self.of_patient("latents", patient_id, "latents.safetensors")

    def reconstruction(self, patient_id: str) -> Path:
        """How well they decode again."""
        return self.of_patient("latents", patient_id, "reconstruction.tsv")

    @property
    def scale(self) -> Path:
        """Normalisation of latents and their differences."""
        return self.root / "latents" / "scale.json"

    @property
    def push(self) -> Path:
        """How growth pushes tissue, fitted on training pairs."""
        return self.root / "latents" / "push.json"

    # expansion

    def features(self, patient_id: str) -> Path:
        """What the baseline shows of a bleed."""
        return self.of_patient("expansion", patient_id, "features.tsv")

    @property
    def growth_models(self) -> Path:
        """The fitted models of p(expansion), growth and IVH growth."""
        return self.root / "expansion" / "model.json"

    def growth(self, table: str) -> Path:
        """A table of the room `expansion`, such as `training`, `comparison` or `forecasts`."""
        return self.root / "expansion" / f"{table}.tsv"

    # sampling

    def sample(self, patient_id: str, k: int | str) -> SampleFiles:
        """Drawn follow-up number k of a patient."""
        names = (f"sample-{k}_{name}.nii.gz" for name in ("ct", "dseg"))
        return SampleFiles(*(self.of_patient(self.samples, patient_id, name) for name in names))

    def stacked_samples(self, patient_id: str) -> SampleFiles:
        """All of them as one sequence each, ordered by volume, on demand."""
        names = (f"desc-stacked_{name}.nii.gz" for name in ("ct", "dseg"))
        return SampleFiles(*(self.of_patient(self.samples, patient_id, name) for name in names))

    def sample_map(self, patient_id: str, name: str) -> Path:
        """One of `MAPS`: share of the samples with that blood."""
        return self.of_patient(self.samples, patient_id, f"desc-{name}_probseg.nii.gz")

    def sample_volumes(self, patient_id: str) -> Path:
        """Volumes of every sample of a patient."""
        return self.root / self.samples / f"sub-{patient_id}" / "volumes.tsv"

    def what_if(self, patient_id: str) -> Path:
        """What the samples say of a patient as is and with one value changed, a row a case."""
        return self.root / self.samples / f"sub-{patient_id}" / "what_if.tsv"

    def what_if_map(self, patient_id: str, case: str) -> Path:
        """The expansion map of the samples of a changed case."""
        ending = f"what-if-{case}_desc-expansion_probseg.nii.gz"
        return self.of_patient(self.samples, patient_id, ending)

    # evaluation

    @property
    def climatology(self) -> Path:
        """How often new blood lies at a distance from the old."""
        return self.evaluation("climatology")

    @property
    def pool(self) -> Path:
        """How much of each forecaster's map is pooled."""
        return self.evaluation("pool")

    def pooled_map(self, patient_id: str) -> Path:
        """The expansion map as far as held-out patients say it may be trusted."""
        ending = "desc-expansion_pooled-probseg.nii.gz"
        return self.of_patient("evaluation", patient_id, ending)

    def true_map(self, patient_id: str) -> Path:
        """The phantom's true expansion map."""
        ending = "desc-expansion_truth-probseg.nii.gz"
        return self.of_patient("evaluation", patient_id, ending)

    def redraws(self, patient_id: str) -> Path:
        """Growth of every follow-up that the phantom drew again for that map."""
        return self.of_patient("evaluation", patient_id, "redraws.tsv")

    def true_what_if(self, patient_id: str) -> Path:
        """What the phantom knows of the cases of `what_if`, a row each."""
        return self.of_patient("evaluation", patient_id, "what_if_truth.tsv")

    def true_what_if_map(self, patient_id: str, case: str) -> Path:
        """The phantom's true expansion map of a case, as is or changed."""
        ending = f"what-if-{case}_desc-expansion_truth-probseg.nii.gz"
        return self.of_patient("evaluation", patient_id, ending)

    def scores(self, patient_id: str) -> Path:
        """Scores of a patient's samples."""
        return self.of_patient("evaluation", patient_id, "scores.tsv")

    def map_sums(self, patient_id: str) -> Path:
        """Sums from which the scores of a patient's expansion maps follow."""
        return self.of_patient("evaluation", patient_id, "maps.tsv")

    def consistency(self, patient_id: str) -> Path:
        """What the image and the masks of each of a patient's follow-ups say, a row each."""
        return self.of_patient("evaluation", patient_id, "consistency.tsv")

    def location(self, patient_id: str) -> Path:
        """In which part of the brain a patient's bleed lies."""
        return self.of_patient("evaluation", patient_id, "location.tsv")

    def evaluation(self, table: str) -> Path:
        """A table of the room `evaluation`, such as `forecasts`."""
        return self.root / "evaluation" / f"{table}.tsv"

    @property
    def metrics(self) -> Path:
        """The few numbers that a run is judged by."""
        return self.root / "evaluation" / "metrics.json"

    # reporting

    def table(self, name: str, ending: str = "csv") -> Path:
        """A table for people, `csv` or `tex`."""
        return self.root / "tables" / f"{name}.{ending}"

    @property
    def patients(self) -> Path:
        """A row a patient, for statisticians; git never keeps it."""
        return self.table("patients")

    def figure(self, name: str, ending: str = "png") -> Path:
        """A figure, `png` or `svg`."""
        return self.root / "figures" / f"{name}.{ending}"

    @property
    def report(self) -> Path:
        """The page that shows it all."""
        return self.root / "report" / "index.html"

    def report_page(self, name: str) -> Path:
        """A page beside it."""
        return self.root / "report" / f"{name}.html"

    @property
    def methods(self) -> Path:
        """The methods paragraph of the run."""
        return self.root / "report" / "methods.md"

    @property
    def review(self) -> Path:
        """The page for a reviewer."""
        return self.root / "report" / "review.html"

    @property
    def model_card(self) -> Path:
        """What the models are, whom they learned from, and what they are not for."""
        return self.root / "report" / "model_card.md"

    @property
    def failures(self) -> Path:
        """The patients whose forecasts were worst; not below `tables`, which git may keep."""
        return self.root / "report" / "failures.csv"

    def checklist(self, name: str) -> Path:
        """A reporting checklist, filled in as far as the run knows."""
        return self.root / "report" / f"{name}.csv"

    def patient_page(self, patient_id: str) -> Path:
        """The page of one patient, of the workflow and of `predict` alike."""
        return self.root / "report" / f"sub-{patient_id}.html"

    def patient_answers(self, patient_id: str) -> Path:
        """What the models of growth say of one patient, for that page."""
        return self.root / "report" / f"sub-{patient_id}_answers.json"

    # runs

    def room(self, name: str) -> list[Path]:
        """Folders of a room's products."""
        return [self.root / folder for folder in FOLDERS.get(name, (name,))]

    def find(self, pattern: Path) -> list[Path]:
        """What there is of a path whose patient or session is `*`, in order."""
        return sorted(self.root.glob(pattern.relative_to(self.root).as_posix()))

    def ablation(self, name: str, table: str) -> Path:
        """A table of `evaluation` from an ablation, whose own run lies in the same folder."""
        return self.root / "ablations" / name / f"{table}.tsv"

    def ablations(self, table: str) -> dict[str, Path]:
        """The same table of all that were run, by name."""
        return {path.parent.name: path for path in self.find(self.ablation("*", table))}

    def scored_models(self, number: int | str) -> Path:
        """Folder of the run that scores the released models of that number, from 1."""
        return self.root / "scored_models" / str(number)

    def log(self, rule: str, of: str = "") -> Path:
        """What a job said."""
        return self.root / "logs" / rule / f"{of}.log" if of else self.root / f"logs/{rule}.log"

    def benchmark(self, rule: str, of: str = "") -> Path:
        """Time and memory of a job."""
        folder = self.root / "benchmarks"
        return folder / rule / f"{of}.tsv" if of else folder / f"{rule}.tsv"


def patient_folder(patient_id: str) -> str:
    """Name of the folder of a patient's products."""
    return f"sub-{patient_id}"


def patient_of(folder: Path) -> str:
    """The patient whose folder of products this is."""
    return folder.name.removeprefix("sub-")


def of_any_patient(name: str) -> str:
    """A path as text with `*` in place of its patient: products of one kind read alike."""
    return re.sub(r"sub-[A-Za-z0-9]+", "sub-*", name)


def is_phantom(path: str) -> bool:
    """Whether a file of the sheet is one that the workflow draws itself, before any job or not."""
    return path.startswith(f"{RESULTS}/phantom/")
