"""The final cohort: who is in it, that development never reads it, how it is scored and shown."""

import datetime
import os
import re

import pandas as pd
import pytest
from mini import REPOSITORY, demo_rows, write_bundle

from hemexp import HemexpError
from hemexp.cohort import read_sheet
from hemexp.config import load_settings, read_config
from hemexp.desk import score_models
from hemexp.layout import Layout
from hemexp.phantom.draw_cohort import FIRST_FINAL, Size, list_patients, run_draw_cohort
from hemexp.provenance import write_json
from hemexp.reporting.headline_table import (
    LINES,
    find_estimate,
    headline_cell,
    headline_table,
    run_show_scores,
)
from hemexp.tables import write_table

FINAL_PATIENT = re.compile(r"\bD0*(?:30[1-9]|3[1-9]\d|[4-9]\d\d|[1-9]\d{3,})\b|first\D{0,5}301")
"""A final patient by name, or the number that they begin with."""

ALLOWED = {"config/final.yaml", "tests/test_final_cohort.py"}
READ = (".py", ".yaml", ".smk", ".md", ".tsv", ".toml", ".csv", ".json")


def texts():
    for folder in ("config", "benchmarks", "tests", "workflow", ".ci", "hemexp"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            name = path.relative_to(REPOSITORY).as_posix()
            # The sheet that `make final` draws is no file of the project.
            if path.suffix in READ and name not in {*ALLOWED, "config/final.tsv"}:
                yield name, path.read_text(encoding="utf-8")


def test_development_names_no_final_patient():
    found = [(name, FINAL_PATIENT.findall(text)) for name, text in texts()]
    assert len(found) > 200
    assert [name for name, named in found if named] == []
    assert FINAL_PATIENT.findall("D301 D300 D02 D600 D1000 --first 301") == [
        "D301",
        "D600",
        "D1000",
        "first 301",
    ]


def test_a_cohort_of_development_stops_before_the_final_one():
    assert FIRST_FINAL == 301
    assert "D300" in set(list_patients(Size(300))["patient_id"])
    with pytest.raises(HemexpError, match="D01 to D301; .* Give --held-out 300 or fewer"):
        list_patients(Size(4, held_out=301))
    with pytest.raises(HemexpError, match="D200 to D301"):
        list_patients(Size(4, held_out=102, first=200))


def test_the_final_cohort_are_the_patients_from_301_on():
    size = Size(per_center=3, validation=2, predict=0, held_out=4, first=301)
    patients = list_patients(size).set_index("patient_id")
    assert list(patients.index[patients["split"] == "test"]) == ["D301", "D302", "D303", "D304"]
    assert patients["split"].value_counts().to_dict() == {"train": 7, "test": 4, "val": 2}
    fewer = list_patients(size._replace(held_out=2)).set_index("patient_id")
    assert fewer["split"].to_dict().items() <= patients["split"].to_dict().items()


def test_the_final_config_is_the_preset_on_another_sheet():
    config = read_config(REPOSITORY / "config/final.yaml")
    rule = {"preprocess": {"on_failure": "exclude"}}
    final, preset = load_settings(config), load_settings({"preset": "validation"} | rule)
    assert config.keys() == {"preset", "samples", "preprocess"}
    assert final.model_copy(update={"samples": preset.samples}) == preset
    makefile = (REPOSITORY / "Makefile").read_text()
    assert f"--first {FIRST_FINAL} " in makefile and f"--out {final.samples}" in makefile


def test_models_are_scored_in_runs_that_share_the_patients(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    released = [write_bundle(tmp_path / name) for name in ("seed1", "seed2")]
    runs = []

    def finish(*run):
        runs.append(run)
        for name in ("phantom", "preprocess", "cohort", "samples"):
            (run[0] / "results" / name).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(score_models, "run_workflow", finish)
    settings = load_settings({"preset": "validation"})
    run_draw_cohort("config/final.tsv", settings.phantom, Size(1, 1, 0, 1, FIRST_FINAL))
    sheet, layout = read_sheet("config/final.tsv"), Layout()
    score_models.run_score_models(layout, released, sheet, {"preset": "validation"}, 2)
    assert [run[0] for run in runs] == [layout.scored_models(1), layout.scored_models(2)]
    for (folder, config, cores), models in zip(runs, released, strict=True):
        assert load_settings(config).released() == dict.fromkeys(
            ("autoencoder", "diffusion", "expansion"), str(models)
        )
        assert cores == 2
        monkeypatch.chdir(folder)
        assert read_sheet("config/samples.tsv")["baseline_ct"].equals(sheet["baseline_ct"])
        monkeypatch.chdir(tmp_path)
    first, second = (layout.scored_models(n) / "results" for n in (1, 2))
    linked = {path.name for path in second.iterdir() if path.is_symlink()}
    assert linked == {"phantom", "preprocess", "cohort"}
    assert (second / "phantom").resolve() == (first / "phantom").resolve()


def test_a_folder_without_models_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(score_models, "run_workflow", None)
    folders = [write_bundle(tmp_path / "seed1"), tmp_path]
    with pytest.raises(HemexpError, match=r"no autoencoder/model\.safetensors"):
        score_models.run_score_models(Layout(tmp_path), folders, demo_rows(["D09"]), {}, 2)


def expected(crps_ml):
    """`expected.tsv` of a run whose forecast is so good."""
    rows = [
        ("hemexp", "none", "crps_ml", crps_ml, crps_ml - 0.25, crps_ml + 0.5),
        ("hemexp", "climatology", "crps_difference_ml", crps_ml - 3, -0.75, 0.5),
        ("tabular_brain", "none", "crps_ml", 2.75, 2.5, 3.0),
        ("tabular", "none", "crps_ml", 2.5, 2.25, 2.875),
        ("tabular_brain", "none", "auc", 0.625, 0.5, 0.75),
        ("tabular", "none", "auc", 0.75, 0.5, 0.875),
        ("climatology", "none", "crps_ml", 3.0, 2.5, 3.5),
        ("climatology", "none", "auc", 0.5, 0.5, 0.5),
    ]
    columns = ["model", "reference", "measure", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns).assign(split="test", center="all")
    other = table.assign(center="D", value=99.0)
    return pd.concat([other, table.assign(split="val", value=98.0), table])


def run(crps_ml):
    maps = {"region": "band", "reference": "true_map", "split": "test", "center": "all"}
    skill = {"skill": 0.25, "skill_low": 0.125, "skill_high": 0.5}
    return {
        "expected": expected(crps_ml),
        "maps": pd.DataFrame([maps | {"model": "hemexp_pooled"} | skill]),
        "consistency": pd.DataFrame(
            [
                {"split": "test", "center": "all", "model": name, "measure": "raw_slope"}
                | {"subset": subset, "value": value, "low": value, "high": value}
                for name, subset, value in (("hemexp", "large", 0.5), ("hemexp", "all", 0.875))
            ]
        ),
    }


def test_a_cell_shows_every_run_and_the_first_ones_interval():
    runs = [run(2.5), run(2.75)]
    crps, gain, *_ = LINES
    assert headline_cell(crps, "hemexp", runs) == "2.50, 2.75 [2.25, 3.00]"
    assert headline_cell(crps, "climatology", runs) == "3.00 [2.50, 3.50]"
    assert headline_cell(gain, "climatology", runs) == "–"
    # 0.5 mL less than climatology is a gain, and its interval turns round.
    assert find_estimate(gain, "hemexp", runs[0]) == (0.5, -0.5, 0.75)


def test_each_number_stands_in_the_column_that_it_is_of():
    table = headline_table([run(2.5)])
    assert table.loc["AUC of expansion (HE)", "best tabular"] == "0.75 [0.50, 0.88]"
    assert table.loc["AUC of expansion (HE)", "climatology"] == "0.50"
    slopes = table.loc["raw growth on told growth, slope"]
    assert slopes["raw (before matching)"] == "0.88" and slopes["hemexp"] == "–"
    pooled = table.loc["the same, pooled"]
    assert pooled["hemexp"] == "0.25 [0.12, 0.50]"
    assert set(pooled.drop("hemexp")) == {"–"}


def test_the_page_says_who_was_scored_with_what_and_when(tmp_path):
    Layout(tmp_path).scored_models(1).mkdir(parents=True)
    with pytest.raises(HemexpError, match=r"scored_models/1/results/evaluation/expected\.tsv"):
        run_show_scores(Layout(tmp_path))
    forecasts = {"split": "test", "center": "all", "model": "hemexp", "target": "iph_ml"}
    for number, crps_ml in ((1, 2.5), (2, 2.75)):
        layout = Layout(Layout(tmp_path).scored_models(number) / "results")
        tables = run(crps_ml) | {"forecasts": pd.DataFrame([forecasts | {"n": 2, "k": 50}])}
        for name, table in tables.items():
            write_table(layout.evaluation(name), table)
        outcomes = {"patient_id": ["A1", "D301", "D302"], "split": ["train", "test", "test"]}
        write_table(layout.outcomes, pd.DataFrame(outcomes))
        write_json(layout.evaluation("expected").with_suffix(".json"), {"git": "abc"})
        origin = {"git": "def", "seed": number}
        write_json(layout.network("diffusion").model, {"git": "abc", "released": origin})
        noon = datetime.datetime(2026, 3, 4, 12).timestamp()
        os.utime(layout.evaluation("expected").with_suffix(".json"), (noon, noon))
    *table, _, sentence = run_show_scores(Layout(tmp_path)).splitlines()
    assert len(table) == 2 + len(LINES)
    assert table[2].startswith("| CRPS of follow-up IPH, mL | 2.50, 2.75 [2.25, 3.00] | – |")
    assert sentence.startswith(
        "2 test patients (D301 to D302), K = 50. Models: commit def (seed 1) and commit def "
        "(seed 2). Scored by commit abc on 2026-03-04."
    )


def test_a_run_without_scored_models_is_told_what_scores_them(tmp_path, monkeypatch):
    """Also where the run itself is finished: its own tables are not those of scored models."""
    monkeypatch.chdir(tmp_path)
    write_table(Layout().evaluation("expected"), pd.DataFrame({"model": ["hemexp"]}))
    with pytest.raises(HemexpError, match=r"scored_models/1/.* Run `hemexp score-models`"):
        run_show_scores(Layout())
