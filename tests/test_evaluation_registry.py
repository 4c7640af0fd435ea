"""A metric, a table and a comparator are added in one place each, and appear where they belong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from results_folder import make_results, read_samples

from hemexp.evaluation.cohort.forecasts import REFERENCES
from hemexp.evaluation.cohort.headline_numbers import headline_numbers
from hemexp.evaluation.cohort.summarise import run_summarise_scores
from hemexp.evaluation.cohort.tables import TABLES
from hemexp.evaluation.metrics import METRICS, Metric
from hemexp.evaluation.patient.score import run_score_patient
from hemexp.layout import Layout
from hemexp.reporting.image_tables import describe_images
from hemexp.reporting.report.glossary import term_of
from hemexp.statistics.scores import Score
from hemexp.tables import read_table

TOY = Metric(
    "iph_voxels_sample",
    "each",
    lambda match: Score(float(match.followup.iph.sum())),
    "IPH voxels",
    how="mean of samples",
    digits=1,
    headline=True,
)


def everybody(cohort):
    """A toy table: who was scored."""
    return cohort.outcomes.loc[cohort.ids, ["split", "center"]].reset_index()


@pytest.fixture(scope="module")
def layout(tmp_path_factory, settings):
    """A run with a toy metric, a toy table and a toy comparator."""
    root = tmp_path_factory.mktemp("results")
    make_results(root)
    room = settings.evaluation.model_copy(update={"bootstrap": 20})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(METRICS, TOY.name, TOY)
        monkeypatch.setitem(TABLES, "everybody", everybody)
        monkeypatch.setitem(REFERENCES, "two_ml", lambda growth_ml: np.array([2.0]))
        for patient_id in ("007", "T1", "T2"):
            run_score_patient(Layout(root), patient_id, room)
        run_summarise_scores(Layout(root), read_samples(root), room, seed=1)
        yield Layout(root)


def test_a_toy_metric_is_scored_tabulated_shown_and_a_headline(layout):
    scores = read_table(layout.scores("T1")).query("metric == @TOY.name").set_index("model")
    assert set(scores.index) == {"hemexp", "copy_baseline"} and (scores["value"] > 0).all()
    images = read_table(layout.evaluation("images"))
    (mean,) = images.query("metric == @TOY.name and model == 'hemexp' and center == 'all'")["mean"]
    shown = describe_images(images).query("Score == 'IPH voxels, mean of samples'")
    assert f"{mean:.1f} [" in shown.iloc[0]["Mean [95 % CI]"]
    assert json.loads(layout.metrics.read_text())[TOY.name] == round(mean, 4)


def test_a_toy_table_is_written(layout):
    assert read_table(layout.evaluation("everybody"))["patient_id"].tolist() == ["007", "T1", "T2"]
    assert layout.evaluation("everybody").with_suffix(".json").is_file()


def test_a_toy_comparator_is_scored_and_compared(layout):
    rows = read_table(layout.evaluation("forecasts")).query("center == 'all'")
    toy, copy = (
        rows.query("model == @name and target == 'iph_ml'").iloc[0]
        for name in ("two_ml", "copy_baseline")
    )
    assert (toy["n"], toy["k"]) == (3, 1)
    assert toy["bias_ml"] == pytest.approx(copy["bias_ml"] + 2, abs=1e-4)
    compared = read_table(layout.evaluation("comparisons"))
    assert {"two_ml", "copy_baseline"} <= set(compared["reference"])


def test_every_number_has_words_or_belongs_to_no_page():
    assert {name for name, metric in METRICS.items() if not metric.what} == {
        "slice_covariance_ml2",
        "slice_variance_ml2",
    }
    words = [metric.words for metric in METRICS.values() if metric.what]
    assert len(set(words)) == len(words)


def test_headlines_of_metrics_are_those_marked(layout):
    tables = {name: read_table(layout.evaluation(name)) for name in TABLES}
    shown = headline_numbers(tables, "test").keys() & METRICS.keys()
    marked = {name for name, metric in METRICS.items() if metric.headline}
    # No voxel of the toy run lies in the band, and nobody has IVH.
    assert {TOY.name, "iph_dice_map", "ssim_sample"} <= shown <= marked


def test_the_workflow_reads_the_names_of_tables_without_what_makes_them():
    seen = "import sys, hemexp.evaluation.cohort.tables; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_metric_that_people_see_leads_to_a_term_of_the_glossary():
    words = {metric.words for metric in METRICS.values() if metric.what} - {TOY.words}
    assert {text for text in words if not term_of(text)} == set()
