"""Pictures, figures and the page on a tiny made-up results folder."""

from html import escape

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mini import REPOSITORY
from reporting_folder import make_reportable, write_tables
from results_folder import Grid

from hemexp.reporting import expansion_maps, page, panels, registration, slices
from hemexp.reporting.captions import FIGURES, OPTIONAL, TABLES
from hemexp.reporting.figures import run_draw_figures
from hemexp.reporting.methods import say_sampling
from hemexp.tables import read_table
from hemexp.volumes import Volume, read_ras, write_volume

matplotlib.use("Agg")


def draw(root, settings, out="figures"):
    room = settings.reporting.model_copy(update={"dpi": 60})
    return run_draw_figures(root, root / out, room)


@pytest.fixture(scope="module")
def results(tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("results")
    make_reportable(root, settings)
    return root


def test_radiological_convention(tmp_path):
    # One bright voxel at the patient's right and front, stored in LPS order.
    data = np.zeros((6, 5, 3), dtype=np.float32)
    data[1, 0, 2] = 1
    affine = np.diag([-2.0, -3.0, 5.0, 1.0])
    write_volume(tmp_path / "x.nii.gz", data, affine, np.float32)
    volume = read_ras(tmp_path / "x.nii.gz")
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


@pytest.fixture(scope="module")
def drawn(results, settings):
    return draw(results, settings)


@pytest.mark.slow
def test_figures_are_written_twice_the_same(results, settings, drawn):
    first = drawn
    assert {path.name for path in first} == {
        f"{n}.{end}" for n in FIGURES for end in ("png", "svg")
    }
    second = draw(results, settings, "again")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unseen", "indicator"),
    [(["T0"], "predicted"), (["P0"], "predicted"), (["T0", "T1", "P0"], "oracle")],
    ids=["one-test", "predict-only", "oracle"],
)
def test_small_cohorts(tmp_path, settings, unseen, indicator):
    splits = {"T": "test", "P": "predict"}
    patients = {"R0": "train", "R1": "train"} | {name: splits[name[0]] for name in unseen}
    make_reportable(tmp_path, settings, patients=patients, indicator=indicator, samples=2)
    assert all(path.stat().st_size > 1000 for path in draw(tmp_path, settings))
    write_tables(tmp_path, settings)
    path = page.run_write_report(
        tmp_path / "tables",
        tmp_path / "figures",
        tmp_path / "preprocess",
        tmp_path / "report/index.html",
        settings.reporting,
        "demo",
        1,
    )
    assert "nan" not in path.read_text().lower().replace("nano", "")


def test_predict_patient_has_a_panel_without_truth(results):
    outcomes = read_table(results / "cohort/outcomes.tsv").set_index("patient_id")
    volumes = read_table(results / "samples/sub-P0/volumes.tsv")
    row, files = panels.read_panel_row(
        outcomes.loc["P0"], volumes, results / "preprocess", results / "samples"
    )
    assert row.followup is None
    assert all(path.is_file() for path in files)
    figure = panels.draw_panels([row])
    assert isinstance(figure, Figure)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "no follow-up" in texts
    assert {"R", "L"} <= set(texts)


def test_page_escapes_links_and_warns(results, settings, drawn):
    write_tables(results, settings)
    path = page.run_write_report(
        results / "tables",
        results / "figures",
        results / "preprocess",
        results / "report/index.html",
        settings.reporting,
        "<demo>",
        7,
    )
    text = path.read_text()
    assert "not a medical device" in text
    assert "brain &lt;850 mL" in text
    assert "&lt;demo&gt;" in text
    assert "<demo>" not in text
    for name in FIGURES:
        assert f"src='../figures/{name}.png'" in text
        assert (path.parent / f"../figures/{name}.png").is_file()
    assert "19 scans checked, 2 marked." in text
    assert "1 patients excluded" in text and "found &lt;air&gt;; expected a head" in text


def test_page_shows_everything_in_order(results, settings, drawn):
    write_tables(results, settings)
    path = page.run_write_report(
        results / "tables",
        results / "figures",
        results / "preprocess",
        results / "report/index.html",
        settings.reporting,
        "demo",
        7,
    )
    text = path.read_text()
    places = [text.index(f"figure-{name}'") for name in FIGURES]
    assert places == sorted(places)
    starts = {name: escape(caption[:40]) for name, caption in TABLES.items()}
    places = [text.index(starts[name]) for name in TABLES if name not in OPTIONAL]
    assert places == sorted(places)
    assert starts["ablations"] not in text


def test_the_workflow_report_has_the_same_captions():
    printed = {name: text for name, text in TABLES.items() if name not in OPTIONAL}
    for folder, captions in (("figures", FIGURES), ("tables", printed)):
        files = (REPOSITORY / "workflow/report" / folder).glob("*.rst")
        assert {path.stem: path.read_text().strip() for path in files} == captions


@pytest.mark.parametrize("indicator", ["predicted", "oracle"])
def test_methods_say_how_samples_were_drawn(settings, indicator):
    told = settings.sampling.model_dump() | {"guidance": 1.6, "indicator": indicator}
    text = say_sampling({"settings": told, "seed": 7}, 3)
    assert text.startswith(
        f"{told['samples']} follow-ups of each of 3 patients"
    ) and text.endswith(" Seed 7.")
    assert f"guidance 1.6, indicator {indicator}" in text
    # What happened is one number for all samples: there is nothing to spread.
    assert ("spread evenly" in text) == (indicator == "predicted")


def test_true_map_stands_beside_the_forecast(results):
    outcomes = read_table(results / "cohort/outcomes.tsv").set_index("patient_id")
    rows = []
    for name in ("T1", "P0"):
        volumes = read_table(results / f"samples/sub-{name}/volumes.tsv")
        row, _ = panels.read_panel_row(
            outcomes.loc[name], volumes, results / "preprocess", results / "samples"
        )
        rows.append(expansion_maps.read_map_row(row, results / "evaluation"))
    (phantom, files), (unknown, none) = rows
    names = [f"sub-T1_desc-expansion_{kind}-probseg.nii.gz" for kind in ("pooled", "truth")]
    assert [path.name for path in files] == names
    assert unknown.truth is None and [path.name for path in none] == [
        "sub-P0_desc-expansion_pooled-probseg.nii.gz"
    ]
    # The made-up true map is 0.5 just where new blood came.
    came = expansion_maps.new_blood(phantom.panel)
    assert came.any()
    np.testing.assert_array_equal(phantom.truth == 0.5, came)
    figure = expansion_maps.draw_expansion_maps([phantom, unknown])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("not known") == 1 and texts.count("no follow-up") == 1


def test_grid_of_the_made_up_head_is_uneven():
    assert len(set(Grid().shape)) == 3
    assert len(set(Grid().spacing_mm)) == 3
