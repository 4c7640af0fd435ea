"""Tables, figures and the page on a tiny made-up results folder."""

import csv
import sys
import types

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from results_folder import Grid, make_results

from hemexp.evaluation.score import run_score_patient
from hemexp.evaluation.summarise import run_summarise_scores
from hemexp.evaluation.tidy import read_table
from hemexp.reporting import charts, page, panels, registration, slices, tables
from hemexp.reporting.figures import run_draw_figures
from hemexp.volumes import Volume, write_volume

matplotlib.use("Agg")
NAMES = ("panels", "volumes", "growth", "calibration", "training", "registration")


def evaluate(root, settings, monkeypatch):
    stub = types.SimpleNamespace(midline_shift_mm=lambda *_: 1.5)
    monkeypatch.setitem(sys.modules, "hemexp.preprocess.midline", stub)
    room = settings.evaluation.model_copy(update={"bootstrap": 50})
    outcomes = read_table(root / "cohort/outcomes.tsv").set_index("patient_id")
    for name in outcomes.index[outcomes["split"] == "test"]:
        run_score_patient(name, root / "samples", root / "preprocess", root / "evaluation", room)
    run_summarise_scores(root / "cohort/outcomes.tsv", root / "samples", root / "expansion",
                         root / "evaluation", None, root / "evaluation", room, seed=1)  # fmt: skip


def draw(root, settings, out="figures"):
    room = settings.reporting.model_copy(update={"dpi": 60})
    return run_draw_figures(
        root / "cohort/outcomes.tsv", root / "preprocess", root / "samples", root / "evaluation",
        root / "autoencoder/history.tsv", root / "diffusion/history.tsv", root / out, room,
    )  # fmt: skip


def write_tables(root, settings):
    sheet = pd.read_csv(root / "samples.tsv", sep="\t", dtype={"patient_id": str})
    return tables.run_write_tables(sheet.set_index("patient_id", drop=False),
                                   root / "cohort/outcomes.tsv", root / "evaluation",
                                   root / "tables", settings.reporting)  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("results")
    make_results(root)
    with pytest.MonkeyPatch.context() as monkeypatch:
        evaluate(root, settings, monkeypatch)
    return root


def test_radiological_convention(tmp_path):
    # One bright voxel at the patient's right and front, stored in LPS order.
    data = np.zeros((6, 5, 3), dtype=np.float32)
    data[1, 0, 2] = 1
    affine = np.diag([-2.0, -3.0, 5.0, 1.0])
    write_volume(tmp_path / "x.nii.gz", data, affine, np.float32)
    volume = slices.read_ras(tmp_path / "x.nii.gz")
    assert np.all(np.diag(volume.affine) > 0)
    view = slices.choose_view(volume.with_data(np.ones_like(data)), volume.data)
    plane = view.cut(volume.data)
    assert view.z == 2
    assert view.aspect == 1.5
    # Drawn with the origin below: last row at the top (front), first columns at the left (right).
    assert np.argwhere(plane == 1).tolist() == [[4, 1]]


def test_view_is_cropped_to_the_brain():
    brain = np.zeros((20, 16, 4))
    brain[6:10, 5:8] = 1
    view = slices.choose_view(Volume(brain, np.diag([1.0, 1, 1, 1])), brain)
    assert (view.x, view.y) == (slice(4, 12), slice(3, 10))


def test_checkerboard_takes_half_from_each():
    board = registration.checkerboard((48, 64), 8)
    assert board.mean() == 0.5
    assert board[0, 0] != board[6, 0]
    assert board[0, 0] != board[0, 8]
    assert board[0, 0] == board[6, 8]


def test_panel_patients_are_chosen_by_rule():
    growth = {"a": 1.0, "b": 20.0, "c": np.nan, "d": 5.0, "e": -1.0, "f": np.nan}
    outcomes = pd.DataFrame({"growth_ml": growth})
    assert panels.choose_panel_patients(outcomes, 3) == ["b", "e", "c"]
    assert panels.choose_panel_patients(outcomes.drop(["c", "f"]), 3) == ["b", "a", "e"]
    assert panels.choose_panel_patients(outcomes.loc[["c"]], 3) == ["c"]
    assert panels.choose_panel_patients(outcomes.loc[[]], 3) == []


def test_samples_nearest_to_the_percentiles():
    iph_ml = pd.Series([50.0, 10, 20, 30, 40, 0, 60, 70, 80, 90, 100])
    assert panels.choose_samples(iph_ml) == [1, 0, 9]


def test_worst_registered_pairs_come_first():
    qc = pd.DataFrame({"patient_id": list("abc"), "registration_metric": [-0.9, np.nan, -0.3]})
    assert registration.choose_worst_registered(qc, 5)["patient_id"].tolist() == ["c", "a"]


def test_wilson_interval_at_the_ends():
    # Newcombe 1998, table I: 0 of 20 gives 0 to .1611.
    low, high = charts.wilson_interval(np.array([0.0]), np.array([20]))
    assert low[0] == pytest.approx(0, abs=1e-9)
    assert high[0] == pytest.approx(0.1611, abs=1e-4)


def test_every_patient_of_a_large_cohort_is_in_the_volume_figure():
    ids = [f"T{n:02d}" for n in range(45)]
    outcomes = pd.DataFrame(
        {"baseline_iph_ml": np.arange(45.0), "followup_iph_ml": 50.0}, index=ids
    )
    volumes = pd.DataFrame({"patient_id": np.repeat(ids, 3), "iph_ml": np.arange(135) % 40})
    figure = charts.draw_volumes(volumes, outcomes)
    shown = [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
    assert sorted(shown) == ids
    assert all(axes.get_ylim() == figure.axes[0].get_ylim() for axes in figure.axes)
    assert figure.axes[0].get_ylim()[1] > 50


@pytest.fixture(scope="module")
def drawn(results, settings):
    return draw(results, settings)


def test_figures_are_written_twice_the_same(results, settings, drawn):
    first = drawn
    assert {path.name for path in first} == {f"{n}.{end}" for n in NAMES for end in ("png", "svg")}
    second = draw(results, settings, "again")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


@pytest.mark.parametrize(
    ("unseen", "indicator"),
    [(["T0"], "predicted"), (["P0"], "predicted"), (["T0", "T1", "P0"], "oracle")],
    ids=["one-test", "predict-only", "oracle"],
)
def test_small_cohorts(tmp_path, settings, monkeypatch, unseen, indicator):
    splits = {"T": "test", "P": "predict"}
    patients = {"R0": "train", "R1": "train"} | {name: splits[name[0]] for name in unseen}
    make_results(tmp_path, patients=patients, indicator=indicator, samples=2)
    evaluate(tmp_path, settings, monkeypatch)
    assert all(path.stat().st_size > 1000 for path in draw(tmp_path, settings))
    write_tables(tmp_path, settings)
    path = page.run_write_report(tmp_path / "tables", tmp_path / "figures",
                                 tmp_path / "preprocess", tmp_path / "report/index.html",
                                 settings.reporting, "demo", 1)  # fmt: skip
    assert "nan" not in path.read_text().lower().replace("nano", "")


def test_predict_patient_has_a_panel_without_truth(results):
    outcomes = read_table(results / "cohort/outcomes.tsv").set_index("patient_id")
    volumes = read_table(results / "samples/sub-P0/volumes.tsv")
    row, files = panels.read_panel_row(outcomes.loc["P0"], volumes, results / "preprocess",
                                       results / "samples")  # fmt: skip
    assert row.followup is None
    assert all(path.is_file() for path in files)
    figure = panels.draw_panels([row])
    assert isinstance(figure, Figure)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "no follow-up" in texts
    assert {"R", "L"} <= set(texts)


def read_csv(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_cohort_table(results, settings):
    write_tables(results, settings)
    rows = read_csv(results / "tables/cohort.csv")
    by_group = {(row["Centre"], row["Split"]): row for row in rows}
    assert by_group["all", "all"]["Patients"] == "10"
    # Training patients of centre A have 15, 27 and 39 mL; none of them grows.
    group = by_group["A", "train"]
    assert group["Baseline IPH, mL"] == "27.0 [21.0, 33.0]"
    assert group["Expansion (HE), n (%)"] == "0/3 (0 %)"
    assert by_group["B", "train"]["Expansion (HE), n (%)"] == "2/3 (67 %)"
    assert by_group["B", "predict"]["Expansion (HE), n (%)"] == tables.UNKNOWN
    assert by_group["all", "all"]["Antiplatelet, n (%)"] == tables.UNKNOWN


def test_unknown_values_are_counted():
    assert tables._median(pd.Series([1.0, 3.0, np.nan])) == "2.0 [1.5, 2.5]; 1 unknown"


def test_forecast_table_says_why_a_cell_is_empty(results, settings):
    write_tables(results, settings)
    rows = read_csv(results / "tables/forecasts.csv")
    copy = next(r for r in rows if r["Model"] == "Copy of baseline" and r["Centre"] == "all")
    assert copy["CRPS, mL (95 % CI)"].startswith("1.00 (0.50 to ")
    assert copy["Coverage of 50 %"] == tables.UNKNOWN
    assert "point forecast" in copy["Remark"]


def test_page_escapes_links_and_warns(results, settings, drawn):
    write_tables(results, settings)
    path = page.run_write_report(results / "tables", results / "figures",
                                 results / "preprocess", results / "report/index.html",
                                 settings.reporting, "<demo>", 7)  # fmt: skip
    text = path.read_text()
    assert "not a medical device" in text
    assert "brain &lt;850 mL" in text
    assert "&lt;demo&gt;" in text
    assert "<demo>" not in text
    for name in NAMES:
        assert f"src='../figures/{name}.png'" in text
        assert (path.parent / f"../figures/{name}.png").is_file()
    assert "19 scans checked, 2 marked." in text
    assert "1 patients excluded" in text and "found &lt;air&gt;; expected a head" in text


def test_grid_of_the_made_up_head_is_uneven():
    assert len(set(Grid().shape)) == 3
    assert len(set(Grid().spacing_mm)) == 3
