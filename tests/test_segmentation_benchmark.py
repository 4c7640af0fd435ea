"""The benchmark of found masks, on heads whose HU say the label."""

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from hemexp.layout import Layout
from hemexp.provenance import write_json
from hemexp.volumes import write_volume

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])
FLAT = {"intercept": np.log(0.5), "volume_slope": 0.0, "entropy_slope": 0.0, "scans": 9}
"""Half a mL is expected of every volume."""


@pytest.fixture
def benchmark(monkeypatch):
    """The module; its neighbours stay importable for the test."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "segmentation", raising=False)
    import segmentation

    return segmentation


def volumes(growths, found=0.0, entropy_ml=1.0):
    """Rows of `crossfit.tsv` of bleeds of 30 mL that grow, and are found to grow by so much more.

    Args:
        growths: Given growth by patient.
        found: What is found on top of it.
        entropy_ml: Of every mask.
    """
    rows = []
    for patient_id, growth in growths.items():
        for session, given in (("baseline", 30.0), ("followup", 30.0 + growth)):
            more = found if session == "followup" else 0.0
            about = {"patient_id": patient_id, "session": session, "mask": "iph"}
            rows.append(about | {"given_ml": given, "found_ml": given + more})
    return pd.DataFrame(rows).assign(entropy_ml=entropy_ml)


def test_changed_labels_are_counted_and_those_within_the_error_too(benchmark, tmp_path):
    layout = Layout(tmp_path)
    write_json(layout.error_model, {"masks": {"iph": FLAT, "ivh": FLAT}})
    growths = {"near": 5.9, "far": 5.0, "edge": 6.3, "none": 0.0, "grown": 12.0}
    table = volumes(growths, found=0.2)
    told = benchmark.changed_labels(table, layout)
    assert (told["patients"], told["HE"]) == (5, 2)
    assert (told["changed"], told["of these within the error"]) == (1, 1)
    assert told["changed share"] == 0.2 and told["doubted in all"] == 2
    more = benchmark.changed_labels(volumes(growths, found=2.0), layout)
    assert (more["changed"], more["of these within the error"]) == (2, 0)


def test_held_out_scans_are_scored_by_centre_and_split(benchmark, tmp_path):
    layout, ml = Layout(tmp_path), 0.005
    ct = np.full((12, 12, 6), 30, dtype=np.int16)
    iph, ivh = (np.zeros(ct.shape, dtype=np.uint8) for _ in range(2))
    iph[2:8, 2:8, 1:5], ivh[9:11, 9:11, 2:4] = 1, 1
    images = (ct, iph, ivh, ct > 0)
    for image, path in zip(images, layout.native("P1", "baseline").images, strict=True):
        write_volume(path, image, AFFINE, np.int16)
    found = np.where(iph == 1, 1, 0) * (np.arange(12) < 6)[:, None, None]
    marked = (
        SimpleNamespace(data=found, voxel_ml=ml),
        {"entropy_iph_ml": 0.1, "entropy_ivh_ml": 0.2},
    )
    sheet = pd.DataFrame({"center": ["D"], "split": ["test"]}, index=["P1"])
    with mock.patch.object(benchmark, "mark_scan", return_value=marked):
        table = benchmark.mark(layout, None, sheet)
    rows = table.set_index("mask")
    assert rows.loc["iph", "dice"] == pytest.approx(2 * 96 / (96 + 144))
    assert rows.loc["ivh", "found_ml"] == 0 and rows.loc["ivh", "entropy_ml"] == 0.2
    shown = benchmark.agreement(table)
    assert shown["patients"].tolist() == ["test D", "test D"]
    assert shown["Dice"].tolist() == pytest.approx([0.8, 0.0])


def test_a_wider_forecast_costs_little_and_is_compared_with_that_of_given_masks(benchmark):
    scores = pd.DataFrame(
        {
            "masks": ["given", "found"] * 3,
            "crps": [1.0, 1.1, 2.0, 2.2, 3.0, 3.3],
            "pit": [0.5, 0.5, 0.1, 0.2, 0.99, 0.9],
        }
    )
    table = benchmark.forecast_table(scores).set_index("masks")
    assert table.loc["found", "ratio"] == pytest.approx(1.1)
    assert table.loc["given", "coverage 90"] == pytest.approx(2 / 3)
    assert table.loc["found", "coverage 90"] == 1
