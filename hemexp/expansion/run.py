"""Verbs of the room: measure a bleed, fit the models, forecast growth."""

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.cohort import read_volumes
from hemexp.expansion.compare import (
    FORECAST_QUANTILES,
    choose,
    compare_models,
    cross_fit,
    score_training,
)
from hemexp.expansion.features import measure_bleed
from hemexp.expansion.fit import fit_models
from hemexp.expansion.model import load_models, outside_probability, patient_distribution
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import describe, patient_file, write_atomically, write_json, write_sidecars
from hemexp.settings import Expansion
from hemexp.volumes import read_ras, read_volume

FEATURES = "features.tsv"
IMAGES = {"ct": "ct.nii.gz"} | {m: f"desc-{m}_mask.nii.gz" for m in ("iph", "ivh", "brain")}
"""Endings of a scan's images as `preprocess` writes them, after `ses-{session}_space-{space}_`."""


def run_measure_bleed(samples: pd.DataFrame, preprocess: Path, out: Path) -> None:
    """Verb `measure-bleed`: features of patients' native baselines.

    Args:
        samples: Their rows of the sheet.
        preprocess: Folder with native and grid scans and native volumes.
        out: `results/expansion`; writes `sub-ID/sub-ID_features.tsv`, one row.

    Raises:
        HemexpError: A bleed is too small for the grid, so that no model can see it.
    """
    for patient_id, volumes in read_volumes(preprocess, samples, ("baseline",)).iterrows():
        _measure_patient(str(patient_id), volumes, preprocess, out)


def _measure_patient(patient_id: str, volumes: pd.Series, preprocess: Path, out: Path) -> None:
    started = time.perf_counter()
    start = "ses-baseline_space-"
    on_grid = patient_file(preprocess, patient_id, f"{start}grid_{IMAGES['iph']}")
    if not read_volume(on_grid).data.any():
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {on_grid}",
                "no voxel of IPH on the grid",
                "a bleed that fills at least one voxel",
                "Take a finer preprocess.grid, or leave the patient out of the sheet.",
            )
        )
    files = {
        name: patient_file(preprocess, patient_id, f"{start}native_{ending}")
        for name, ending in IMAGES.items()
    }
    measured = measure_files(
        files, float(volumes["baseline_iph_ml"]), float(volumes["baseline_ivh_ml"])
    )
    table = pd.DataFrame([{"patient_id": patient_id, **measured}])
    write_tables(
        {patient_file(out, patient_id, FEATURES): table},
        verb="measure-bleed",
        settings={},
        inputs=[*files.values(), on_grid],
        started=started,
    )


def measure_files(
    files: Mapping[str, Path | str], iph_ml: float, ivh_ml: float
) -> dict[str, float]:
    """Features of a baseline from its files by the names of `IMAGES`, see `measure_bleed`.

    Their slices may lie in any order and direction.
    """
    upright = {name: read_ras(files[name]) for name in IMAGES}
    ct = upright.pop("ct")
    masks = {name: mask.data > 0 for name, mask in upright.items()}
    return measure_bleed(ct.data, **masks, spacing_mm=ct.spacing_mm, iph_ml=iph_ml, ivh_ml=ivh_ml)


def run_fit_expansion(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, settings: Expansion, seed: int
) -> None:
    """Verb `fit-expansion`: all models, and how they do on patients whom they did not see.

    Args:
        samples: Rows of the training patients.
        preprocess: Folder with the native volumes.
        expansion: `results/expansion`, with the patients' features; writes model.json,
            training.tsv, training_forecasts.tsv (the chosen model's cross-fitted quantiles) and
            comparison.tsv.
        settings: The room's settings.
        seed: Run seed; it decides the folds.
    """
    started = time.perf_counter()
    table = expansion_outcomes(read_patients(samples, preprocess, expansion, follow_up=True))
    models = fit_models(table, settings, seed)
    scores, forecasts = score_training(table, cross_fit(table, settings, seed))
    comparison = compare_models(scores, settings, seed)
    chosen = choose(comparison, models, settings.model)
    record = {
        "verb": "fit-expansion",
        "settings": settings.as_json(),
        "inputs": patient_files(samples, preprocess, expansion, follow_up=True),
        "started": started,
        "seed": seed,
    }
    tables = {
        expansion / "training.tsv": scores,
        expansion / "training_forecasts.tsv": forecasts[forecasts["model"] == chosen].drop(
            columns="model"
        ),
        expansion / "comparison.tsv": comparison,
    }
    write_tables(tables, **record)
    write_json(
        expansion / "model.json",
        {
            "chosen": chosen,
            "models": {name: model.as_json() for name, model in models.items()},
            "cross_fitted": comparison.astype(object)
            .where(comparison.notna(), None)
            .to_dict("records"),
            **describe(**record, patients=len(table), expanders=int(table["he"].sum())),
        },
    )


def run_predict_expansion(samples: pd.DataFrame, preprocess: Path, expansion: Path) -> None:
    """Verb `predict-expansion`: p(expansion) of every patient, forecasts of those not trained on.

    Args:
        samples: Rows of all patients.
        preprocess: Folder with the native volumes.
        expansion: `results/expansion`, with model.json, training.tsv and the patients' features;
            writes predictions.tsv (patient_id, split, model, chosen, p_expansion, source) and
            forecasts.tsv (patient_id, model, draw, growth_ml: 199 quantiles).
    """
    started = time.perf_counter()
    models = load_models(expansion / "model.json")
    chosen = next(iter(models))
    training = pd.read_csv(expansion / "training.tsv", sep="\t", dtype={"patient_id": str})
    cross_fitted = training.set_index(["patient_id", "model"])["p_expansion"]
    table = read_patients(samples, preprocess, expansion)
    rows, draws = [], []
    for patient_id, patient in table.iterrows():
        outside, split = outside_probability(patient), patient["split"]
        for name, model in models.items():
            given = patient_distribution(model, patient)
            p, source = given.p_expansion, "fitted" if outside is None else "sheet"
            # Released models were fitted without these patients: there is nothing to cross-fit.
            if outside is None and (patient_id, name) in cross_fitted.index:
                p, source = cross_fitted[patient_id, name], "cross-fitted"
            rows.append((patient_id, split, name, int(name == chosen), p, source))
            if split != "train":
                growth = given.quantiles(FORECAST_QUANTILES)
                draws += [(patient_id, name, draw, value) for draw, value in enumerate(growth)]
    columns = ["patient_id", "split", "model", "chosen", "p_expansion", "source"]
    tables = {
        expansion / "predictions.tsv": pd.DataFrame(rows, columns=columns),
        expansion / "forecasts.tsv": pd.DataFrame(
            draws, columns=["patient_id", "model", "draw", "growth_ml"]
        ),
    }
    inputs = [
        expansion / "model.json",
        expansion / "training.tsv",
        *patient_files(samples, preprocess, expansion),
    ]
    write_tables(tables, verb="predict-expansion", settings={}, inputs=inputs, started=started)


def patient_files(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, *, follow_up: bool = False
) -> list[Path]:
    """The files behind `read_patients`."""
    sessions = ("baseline", "followup") if follow_up else ("baseline",)
    return [
        path
        for patient_id in samples.index
        for path in (
            patient_file(expansion, patient_id, FEATURES),
            *(
                patient_file(preprocess, patient_id, f"ses-{s}_space-native_volumes.tsv")
                for s in sessions
            ),
        )
    ]


def read_patients(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, *, follow_up: bool = False
) -> pd.DataFrame:
    """Rows of the sheet joined with native volumes and image features; follow-ups if asked for."""
    sessions = ("baseline", "followup") if follow_up else ("baseline",)
    files = [patient_file(expansion, patient_id, FEATURES) for patient_id in samples.index]
    read = [pd.read_csv(path, sep="\t", dtype={"patient_id": str}) for path in files]
    features = pd.concat(read).set_index("patient_id") if read else pd.DataFrame()
    # A sheet's own column of a feature's name is not what the models were told of.
    known = samples.drop(columns=features.columns, errors="ignore")
    return known.join(read_volumes(preprocess, samples, sessions)).join(features)


def write_tables(tables: dict[Path, pd.DataFrame], **record: object) -> None:
    """Writes tables with their sidecars."""
    for path, table in tables.items():
        with write_atomically(path) as temporary:
            table.to_csv(
                temporary, sep="\t", index=False, float_format="%.6f", lineterminator="\n"
            )
    write_sidecars(tables, **record)
