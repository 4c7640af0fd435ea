"""Pictures, figures and methods on a tiny made-up results folder."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from reporting_folder import make_reportable, write_report, write_tables
from results_folder import Grid
from tiny_models import NOTHING, WHOLE

from hemexp.code_hash import reached
from hemexp.grid_scan import GridScan
from hemexp.layout import Layout
from hemexp.reporting import pictures, slices
from hemexp.reporting.catalogue import FIGURES, figure_modules, table_modules
from hemexp.reporting.draw import run_draw_figures
from hemexp.reporting.figures import expansion_maps, panels, registration
from hemexp.reporting.methods import say_diffusion, say_sampling
from hemexp.reporting.reader import Reader
from hemexp.volumes import Volume

matplotlib.use("Agg")


def draw(root, settings, names=FIGURES):
    room = settings.reporting.model_copy(update={"dpi": 60})
    return run_draw_figures(Layout(root), names, room)


@pytest.fixture(scope="module")
def results(tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("results")
    make_reportable(root, settings)
    return root


def scan_of(brain, affine):
    return GridScan(Volume(np.zeros(brain.shape), affine), brain, brain, brain)


def test_radiological_convention():
    # One voxel at the patient's right and front: the last along x and y, as scans on the grid lie.
    data = np.zeros((6, 5, 3), dtype=np.float32)
    data[4, 4, 2] = 1
    scan = scan_of(np.ones(data.shape, bool), np.diag([2.0, 3.0, 5.0, 1.0]))
    view = slices.choose_view(scan, data)
    plane = view.cut(data)
    assert view.z == 2
    assert view.aspect == 1.5
    # Drawn with the origin below: last row at the top (front), first columns at the left (right).
    assert np.argwhere(plane == 1).tolist() == [[4, 1]]


def test_view_is_cropped_to_the_brain():
    brain = np.zeros((20, 16, 4), bool)
    brain[6:10, 5:8] = True
    view = slices.choose_view(scan_of(brain, np.eye(4)), brain)
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
    assert pictures.choose_patients(outcomes, 3) == ["b", "e", "c"]
    assert pictures.choose_patients(outcomes.drop(["c", "f"]), 3) == ["b", "a", "e"]
    assert pictures.choose_patients(outcomes.loc[["c"]], 3) == ["c"]
    assert pictures.choose_patients(outcomes.loc[[]], 3) == []


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
    first = {path.name: path.read_bytes() for path in drawn}
    assert set(first) == {f"{n}.{end}" for n in FIGURES for end in ("png", "svg")}
    again = {path.name: path.read_bytes() for path in draw(results, settings)}
    assert [name for name in first if again[name] != first[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unseen", "indicator", "said"),
    [
        (["T0"], "predicted", "crps of follow-up iph"),
        (["P0"], "predicted", "cannot say how good it is"),
        (["T0", "T1", "P0"], "oracle", "they are no forecast"),
    ],
    ids=["one-test", "predict-only", "oracle"],
)
def test_small_cohorts(tmp_path, settings, unseen, indicator, said):
    splits = {"T": "test", "P": "predict"}
    patients = {"R0": "train", "R1": "train"} | {name: splits[name[0]] for name in unseen}
    make_reportable(tmp_path, settings, patients=patients, indicator=indicator, samples=2)
    assert all(path.stat().st_size > 1000 for path in draw(tmp_path, settings))
    write_tables(tmp_path, settings)
    with pytest.MonkeyPatch.context() as patch:
        pages = write_report(tmp_path, settings, patch)
    texts = [re.sub("base64,[^']*", "", path.read_text()).lower() for path in pages]
    assert not [text for text in texts if re.search(r"\bnan\b", text)]
    assert said in texts[0]


def test_predict_patient_has_a_panel_without_truth(results):
    reader = Reader(Layout(results))
    row = panels.read_panel_row(reader, reader.outcomes().loc["P0"])
    assert row.patient.followup is None
    # Outcomes and volumes, scan, expansion map and three samples of two files.
    assert len(reader.seen) == 2 + 4 + 1 + 6
    figure = panels.draw_panels([row])
    assert isinstance(figure, Figure)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "no follow-up" in texts
    assert {"R", "L"} <= set(texts)


def test_every_figure_has_a_module_of_its_name():
    modules = Path(expansion_maps.__file__).parent.glob("[!_]*.py")
    assert {path.stem for path in modules} == set(FIGURES)


def test_an_edited_caption_redraws_no_figure():
    names = (["reporting.tables"], ["reporting.page"], ["reporting.draw", *figure_modules()])
    knows = [
        any(path.parent.name == "catalogue" for path in reached(*modules)) for modules in names
    ]
    assert knows == [True, True, False]


def test_every_module_that_makes_a_table_is_hashed():
    assert "reporting.forecast_tables" in table_modules()
    assert all(reached(name) for name in (*table_modules(), *figure_modules()))


def test_the_catalogue_is_light():
    code = (
        "import sys, hemexp.reporting.catalogue as c; print(sorted({'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def said_of_sampling(settings, reference=NOTHING, **update):
    used = settings.sampling.model_dump() | update
    return say_sampling({"settings": used, "seed": 7}, 3, reference)


@pytest.mark.parametrize("indicator", ["predicted", "oracle"])
def test_methods_say_how_samples_were_drawn(settings, indicator):
    text = said_of_sampling(settings, guidance=1.6, indicator=indicator)
    assert text.startswith(f"{settings.sampling.samples} follow-ups of each of 3 patients")
    assert text.endswith(" Seed 7.")
    assert f"guidance 1.6 on growth and 1 on clinical values, indicator {indicator}" in text
    # What happened is one number for all samples: there is nothing to spread.
    assert ("spread evenly" in text) == (indicator == "predicted")
    assert "drew nothing" not in text


def test_methods_say_where_the_denoiser_drew_nothing(settings):
    text = said_of_sampling(settings, WHOLE, network=False)
    assert "the denoiser drew nothing (indicator" in text
    assert "evaluations" not in text and "guidance" not in text


def test_methods_name_the_reference_of_the_run(settings):
    assert "The reference was the baseline itself." in said_of_sampling(settings)
    parts = {
        "shell": ("even", "grown evenly"),
        "warp": (True, "tissue pushed aside"),
        "ivh": (True, "ventricles filled"),
    }
    for name, (value, words) in parts.items():
        text = said_of_sampling(settings, NOTHING.model_copy(update={name: value}))
        assert words in text and "itself" not in text
        others = [other for key, (_, other) in parts.items() if key != name]
        assert not any(other in text for other in others)
    assert "further towards the drift" in said_of_sampling(settings, WHOLE)


def test_methods_say_what_the_denoiser_draws_and_is_told(settings):
    used = settings.diffusion.model_dump()
    record = {"settings": used, "verb": "train-diffusion", "seed": 7}
    assert "growth of IVH" in say_diffusion(record, {}, WHOLE)
    text = say_diffusion(record, {}, NOTHING)
    assert "latent difference between follow-up and reference, conditioned on growth" in text
    assert "growth of IVH" not in text
    used["target"] = "followup"
    assert "difference" not in say_diffusion(record, {}, NOTHING)


def test_true_map_stands_beside_the_forecast(results):
    reader = Reader(Layout(results))
    outcomes = reader.outcomes()
    phantom, unknown = (expansion_maps.read_map_row(reader, outcomes.loc[n]) for n in ("T1", "P0"))
    assert {reader.layout.pooled_map("T1"), reader.layout.true_map("T1")} <= set(reader.seen)
    assert unknown.truth is None and unknown.pooled.shape == phantom.truth.shape
    # The made-up true map is 0.5 just where new blood came.
    came = phantom.patient.new_blood
    assert came.any()
    np.testing.assert_array_equal(phantom.truth == 0.5, came)
    figure = expansion_maps.draw_expansion_maps([phantom, unknown])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("not known") == 1 and texts.count("no follow-up") == 1


def test_grid_of_the_made_up_head_is_uneven():
    assert len(set(Grid().shape)) == 3
    assert len(set(Grid().spacing_mm)) == 3
