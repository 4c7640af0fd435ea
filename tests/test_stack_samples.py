"""Samples as a sequence: in order of volume, every voxel where it was in the patient."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from results_folder import Grid, bleeds, save, write_scan

from hemexp import HemexpError
from hemexp.desk.stack_samples import cropped_affine, run_stack_samples
from hemexp.layout import Layout
from hemexp.provenance import sidecar_path
from hemexp.tables import read_table
from hemexp.volumes import ImageError, read_volume, write_volume

VOLUMES_ML = [30.0, 12.5, 30.0, 21.25]
"""Of samples 0 to 3: in order 1, 3, 0, 2."""


@pytest.fixture
def layout(tmp_path):
    """A patient with four samples, marked in the CT by their number."""
    layout, grid = Layout(tmp_path), Grid((26, 23, 14), (7.0, 8.0, 9.0))
    masks = bleeds(grid, 20.0, 4.0)
    write_scan(tmp_path, grid, "P1", "baseline", *masks, np.random.default_rng(1))
    rows = []
    for k, iph_ml in enumerate(VOLUMES_ML):
        iph, ivh = bleeds(grid, iph_ml, 4.0)
        ct = np.where(grid.brain(), 100.0 + k, -1000.0)
        write_volume(layout.sample("P1", k).ct, ct, grid.affine, np.int16)
        write_volume(layout.sample("P1", k).labels, iph + 2 * ivh, grid.affine, np.uint8)
        row = {"sample": k, "kept": 1, "indicator": "predicted", "iph_ml": iph_ml, "ivh_ml": 4.0}
        rows.append(row | {"midline_shift_mm": np.nan if k == 2 else 0.5})
    save(pd.DataFrame(rows), layout.sample_volumes("P1"))
    return layout


def test_places_are_ordered_by_volume_and_say_which_sample_they_are(layout):
    files = run_stack_samples(layout, "P1")
    ct, labels = nib.load(files.ct), nib.load(files.labels)
    assert ct.shape == labels.shape and ct.shape[3] == 4
    assert ct.get_data_dtype() == np.int16 and labels.get_data_dtype() == np.uint8
    assert ct.get_fdata().max(axis=(0, 1, 2)).tolist() == [101, 103, 100, 102]
    blood = (labels.get_fdata() == 1).sum(axis=(0, 1, 2))
    assert blood[0] < blood[1] < blood[2] == blood[3]
    record = json.loads(sidecar_path(files.labels).read_text())
    assert [place["sample"] for place in record["places"]] == [1, 3, 0, 2]
    assert [place["iph_ml"] for place in record["places"]] == [12.5, 21.25, 30.0, 30.0]
    assert record["places"][3]["midline_shift_mm"] is None
    assert record["labels"] == {"1": "IPH", "2": "IVH"}


def test_samples_that_were_not_kept_have_no_place(layout):
    volumes = read_table(layout.sample_volumes("P1")).assign(kept=[1, 1, 0, 0])
    save(volumes, layout.sample_volumes("P1"))
    for k in (2, 3):
        for path in layout.sample("P1", k):
            path.unlink()
    ct = nib.load(run_stack_samples(layout, "P1").ct)
    assert ct.get_fdata().max(axis=(0, 1, 2)).tolist() == [101, 100]


def test_the_crop_holds_the_brain_and_moves_no_voxel(layout):
    files = run_stack_samples(layout, "P1")
    stacked, whole = nib.load(files.labels), read_volume(layout.sample("P1", 1).labels)
    assert stacked.shape[:3] < whole.data.shape
    index = np.argwhere(stacked.get_fdata()[..., 0] > 0)
    before = np.argwhere(whole.data > 0)
    assert len(index) == len(before)
    one, other = (
        nib.affines.apply_affine(affine, voxels)
        for affine, voxels in ((stacked.affine, index), (whole.affine, before))
    )
    assert np.abs(one - other).max() < 1e-3


def test_a_cropped_affine_puts_the_first_voxel_where_it_was():
    affine = np.array([[0, -2.0, 0, 5], [3, 0, 0, 7], [0, 0.0, 4, 9], [0, 0, 0, 1]])
    cropped = cropped_affine(affine, (slice(1, 4), slice(2, 5), slice(3, 6)))
    assert cropped[:3, 3].tolist() == [1, 10, 21]
    assert (cropped[:3, :3] == affine[:3, :3]).all()


def test_a_patient_without_samples_is_refused_by_name(layout):
    with pytest.raises(HemexpError, match="patient X9, .*training patients have no samples"):
        run_stack_samples(layout, "X9")


def test_a_sample_of_another_grid_is_refused(layout):
    path = layout.sample("P1", 3).ct
    image = read_volume(path)
    shifted = image.affine.copy()
    shifted[0, 3] += 2
    write_volume(path, image.data, shifted, np.int16)
    with pytest.raises(ImageError, match=r"sample-3_ct.*2 mm from the baseline"):
        run_stack_samples(layout, "P1")
