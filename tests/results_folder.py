"""A tiny made-up `results/` folder for the rooms that only read files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.evaluation.patient.distance_climatology import EDGES_MM
from hemexp.evaluation.patient.pooled_map import FORECASTERS, run_pool_map
from hemexp.layout import Layout
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import write_json
from hemexp.volumes import write_volume


@dataclass(frozen=True)
class Grid:
    shape: tuple[int, int, int] = (12, 10, 6)
    spacing_mm: tuple[float, float, float] = (13.0, 17.0, 20.0)

    @property
    def affine(self):
        matrix = np.diag([*self.spacing_mm, 1.0])
        matrix[:3, 3] = -(np.array(self.shape) - 1) / 2 * self.spacing_mm
        return matrix

    def points_mm(self):
        centre = (np.array(self.shape) - 1) / 2
        return (np.moveaxis(np.indices(self.shape), 0, -1) - centre) * self.spacing_mm

    def ball(self, center_mm, volume_ml):
        radius = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
        return np.linalg.norm(self.points_mm() - center_mm, axis=-1) <= radius

    def brain(self):
        return np.linalg.norm(self.points_mm() / [70, 85, 60], axis=-1) <= 1


PATIENTS = {
    **{f"R{n}": "train" for n in range(6)},
    "007": "test",
    "T1": "test",
    "T2": "test",
    "P0": "predict",
}
AS_PUBLISHED = {"shell": "none", "warp": False, "ivh": False, "push": None}
"""Samples were drawn relative to the baseline."""

BLEED_MM = np.array([28.0, 5.0, 6.0])
IVH_MM = np.array([8.0, -10.0, 6.0])
SAMPLES = 5
MODELS, CHOSEN = ("brain_score", "four_variable"), "four_variable"


def make_results(
    root: Path, grid=None, patients=None, indicator="predicted", samples=SAMPLES, phantom=True
):
    """Writes everything that evaluation and reporting read; returns the outcomes."""
    grid, patients = grid or Grid(), patients or PATIENTS
    rng = np.random.default_rng(3)
    rows = []
    for n, (name, split) in enumerate(patients.items()):
        volume = 15.0 + 6 * n
        growth = [0.5, 14.0, -0.5, 2.0][n % 4]
        ivh = 4.0 * (n % 2)
        rows.append(
            {
                "patient_id": name,
                "center": "AB"[n % 2],
                "split": split,
                "baseline_iph_ml": volume,
                "baseline_ivh_ml": ivh,
                "followup_iph_ml": np.nan if split == "predict" else volume + growth,
                "followup_ivh_ml": np.nan if split == "predict" else ivh * 1.5,
            }
        )
    write_json(root / "latents/scale.json", {"reference": AS_PUBLISHED})
    outcomes = expansion_outcomes(pd.DataFrame(rows))
    save(outcomes, root / "cohort/outcomes.tsv")
    save(sheet_of(outcomes, rng), root / "samples.tsv")
    for patient in outcomes.to_dict("records"):
        write_patient(root, grid, patient, rng, indicator, samples)
        if phantom and patient["split"] == "test":
            write_redraws(root, grid, patient)
    write_models(root, outcomes, rng)
    for name in outcomes.loc[outcomes["split"] != "train", "patient_id"]:
        run_pool_map(Layout(root), name)
    write_qc(root, outcomes, rng)
    return outcomes.set_index("patient_id")


def save(table, path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False)


def read_samples(root):
    """The sheet of `make_results`."""
    sheet = pd.read_csv(root / "samples.tsv", sep="\t", dtype={"patient_id": str})
    return sheet.set_index("patient_id", drop=False)


def sheet_of(outcomes, rng):
    n = len(outcomes)
    sheet = outcomes[["patient_id", "center", "split"]].copy()
    for session in ("baseline", "followup"):
        for image in ("ct", "iph", "ivh"):
            sheet[f"{session}_{image}"] = [
                f"{p}_{session}_{image}.nii.gz" for p in sheet["patient_id"]
            ]
    sheet.loc[sheet["split"] == "predict", [f"followup_{i}" for i in ("ct", "iph", "ivh")]] = ""
    return sheet.assign(
        onset_to_ct_h=np.round(rng.uniform(0.5, 12, n), 1),
        anticoagulant=np.arange(n) % 3 == 0,
        antiplatelet="",
        age=rng.integers(40, 90, n),
        gcs=rng.integers(5, 15, n),
        sbp=170,
    ).astype({"anticoagulant": int})


def head_ct(grid, brain, iph, ivh, rng):
    ct = np.where(brain, 32 + rng.normal(scale=4, size=grid.shape), 0)
    for side in (-1, 1):
        ct[grid.ball([14 * side, 5, 6], 6) & brain] = 8
    ct[ivh], ct[iph] = 60, 65
    return ct


def write_scan(root, grid, name, session, iph, ivh, rng, space="grid"):
    brain = grid.brain()
    layout = Layout(root)
    files = layout.grid(name, session) if space == "grid" else layout.native(name, session)
    write_volume(files.ct, head_ct(grid, brain, iph, ivh, rng), grid.affine, np.int16)
    for path, mask in ((files.iph, iph), (files.ivh, ivh), (files.brain, brain)):
        write_volume(path, mask, grid.affine, np.uint8)


def bleeds(grid, iph_ml, ivh_ml):
    iph = grid.ball(BLEED_MM, iph_ml)
    return iph, grid.ball(IVH_MM, ivh_ml) & ~iph if ivh_ml else np.zeros_like(iph)


def write_patient(root, grid, patient, rng, indicator, samples):
    name = patient["patient_id"]
    iph, ivh = bleeds(grid, patient["baseline_iph_ml"], patient["baseline_ivh_ml"])
    write_scan(root, grid, name, "baseline", iph, ivh, rng)
    if patient["split"] != "predict":
        grown = bleeds(grid, patient["followup_iph_ml"], patient["followup_ivh_ml"])
        write_scan(root, grid, name, "followup", *grown, rng)
    if patient["split"] != "train":
        write_samples(root, grid, patient, iph | ivh, rng, indicator, samples)


def write_samples(root, grid, patient, baseline_blood, rng, indicator, samples):
    layout, name = Layout(root), patient["patient_id"]
    rows, masks = [], []
    for k in range(samples):
        growth = float(np.exp(rng.normal(1.2, 1)) - 1)
        iph_ml = patient["baseline_iph_ml"] + growth
        iph, ivh = bleeds(grid, iph_ml, patient["baseline_ivh_ml"])
        ct = head_ct(grid, grid.brain(), iph, ivh, rng)
        files = layout.sample(name, k)
        write_volume(files.ct, ct, grid.affine, np.int16)
        write_volume(files.labels, iph + 2 * ivh, grid.affine, np.uint8)
        masks.append((iph, ivh, (iph | ivh) & ~baseline_blood))
        before_ml = patient["baseline_iph_ml"]
        rows.append(
            {
                "sample": k,
                "kept": 1,
                "seed": k,
                "condition": "growth",
                "indicator": indicator,
                "draws": "even" if indicator == "predicted" else "independent",
                "expansion_flag": int(growth > 6),
                "target_growth_ml": growth,
                "iph_ml": iph_ml,
                "iph_raw_ml": before_ml + 0.8 * growth,
                "redrawn": 0,
                "disagrees": 0,
                "ivh_ml": patient["baseline_ivh_ml"],
                "ivh_raw_ml": 0.5 * patient["baseline_ivh_ml"],
                "logit_offset": 0.5 * k,
                "midline_shift_mm": 0.2 * growth,
            }
        )
    for ending, stack in zip(("iph", "ivh", "expansion"), zip(*masks, strict=True), strict=True):
        path = layout.sample_map(name, ending)
        write_volume(path, np.mean(stack, axis=0), grid.affine, np.float32)
    save(pd.DataFrame(rows), layout.sample_volumes(name))


def write_redraws(root, grid, patient):
    """A true map of 0.5 where the follow-up's blood is, and three redraws: 0, 2 and 10 mL."""
    iph, ivh = bleeds(grid, patient["followup_iph_ml"], patient["followup_ivh_ml"])
    before = np.logical_or(*bleeds(grid, patient["baseline_iph_ml"], patient["baseline_ivh_ml"]))
    layout, name = Layout(root), patient["patient_id"]
    write_volume(layout.true_map(name), 0.5 * ((iph | ivh) & ~before), grid.affine, np.float32)
    growth = np.array([0.0, 2.0, 10.0])
    table = pd.DataFrame({"draw": range(3), "iph_growth_ml": growth, "ivh_growth_ml": growth / 5})
    for z in range(grid.shape[2]):
        table[f"slice_{z:02d}_ml"] = growth / grid.shape[2]
    save(table, layout.redraws(name))


def write_models(root, outcomes, rng):
    ids = outcomes["patient_id"]
    predictions = outcomes[["patient_id", "split"]].assign(source="fitted", p_ivh_growth=0.2)
    predictions["p_expansion"] = np.linspace(0.1, 0.6, len(ids))
    models = [predictions.assign(model=name, chosen=int(name == CHOSEN)) for name in MODELS]
    save(pd.concat(models), root / "expansion/predictions.tsv")
    growth = np.quantile(np.exp(rng.normal(1, 1, 2000)) - 1, np.arange(1, 200) / 200)
    table = pd.concat(
        [
            pd.DataFrame({"patient_id": name, "draw": range(199), "growth_ml": growth})
            for name in ids
        ]
    )
    forecasts = pd.concat([table.assign(model=name) for name in MODELS])
    forecasts["growth_ml"] += np.where(forecasts["model"] == CHOSEN, 0.0, 5.0)
    save(forecasts, root / "expansion/forecasts.tsv")
    train = outcomes.loc[outcomes["split"] == "train", "patient_id"]
    save(table[table["patient_id"].isin(train)], root / "expansion/training_forecasts.tsv")
    save(
        pd.DataFrame({"map": FORECASTERS, "weight": [0.5, 0.3, 0.2]}), root / "evaluation/pool.tsv"
    )
    save(
        pd.DataFrame({"from_mm": EDGES_MM, "n_voxels": 100, "n_new": 10, "p": 0.1}),
        root / "evaluation/climatology.tsv",
    )
    parts = {
        f"growth_part{part:03d}_ml": np.quantile(growth, (part - 0.5) / 20) / 2
        for part in range(1, 21)
    }
    save(
        pd.DataFrame({"patient_id": ids, "p_expansion": 0.3, **parts}), root / "phantom/truth.tsv"
    )
    steps = np.arange(1, 61) * 10
    save(
        pd.DataFrame(
            {
                "step": steps,
                "loss": 5 / np.sqrt(steps),
                "ct": 3 / np.sqrt(steps),
                "kl": 40 - 100 / steps,
            }
        ),
        root / "autoencoder/history.tsv",
    )
    save(
        pd.DataFrame({"step": steps, "loss": 1 / np.sqrt(steps) + rng.uniform(0, 0.02, 60)}),
        root / "diffusion/history.tsv",
    )


def write_qc(root, outcomes, rng):
    rows = []
    for n, patient in enumerate(outcomes.to_dict("records")):
        for session in ("baseline", "followup")[: 1 if patient["split"] == "predict" else 2]:
            moved = session == "followup"
            rows.append(
                {
                    "patient_id": patient["patient_id"],
                    "session": session,
                    "iph_ml": patient[f"{session}_iph_ml"],
                    "brain_ml": 1300.0,
                    "rotation_deg": rng.uniform(0, 8) if moved else np.nan,
                    "translation_mm": rng.uniform(0, 8) if moved else np.nan,
                    "registration_metric": -rng.uniform(0.3, 0.9) if moved else np.nan,
                    "status": "warning" if n == 2 else "ok",
                    "reason": "brain <850 mL" if n == 2 else "",
                }
            )
    excluded = {
        "patient_id": "X9",
        "session": "baseline",
        "step": "strip-skull",
        "reason": "found <air>; expected a head",
    }
    rows.append({key: excluded[key] for key in ("patient_id", "session", "reason")})
    rows[-1]["status"] = "failed"
    save(pd.DataFrame(rows), root / "preprocess/qc.tsv")
    save(pd.DataFrame([excluded]), root / "preprocess/excluded.tsv")
