"""Finding the brain: hard phantom heads with a known brain, and the methods' common door."""

import os
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage

from hemexp.cohort import read_sheet
from hemexp.phantom.hard import DIFFICULTIES, draw_hard_head
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import METHODS, delineate_brain, find_by_morphology
from hemexp.settings import SkullStrip
from hemexp.volumes import ImageError, Volume, read_volume, volume_ml

REAL = Path(
    os.environ.get("HEMEXP_REALHEAD", Path(__file__).parents[2] / "shared/data/realhead"),
    "samples.tsv",
)


@pytest.fixture(scope="module")
def strip(settings):
    return settings.preprocess.skull_strip


def draw(case, center, factor=2.0, patient_id="B03"):
    drawn, affine = draw_hard_head(DIFFICULTIES[case], center, factor, patient_id)
    ct = Volume(drawn.ct.astype(np.float32), affine)
    scan = NativeScan(ct, ct.with_data(drawn.iph > 0), ct.with_data(drawn.ivh > 0))
    return scan, drawn.brain > 0


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (one.sum() + other.sum())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "case"), list(enumerate(DIFFICULTIES)))
def test_the_brain_of_hard_heads_is_found(strip, number, case):
    """One centre each here; `benchmarks/skull.py` has them all at the scanners' resolution."""
    scan, truth = draw(case, "ABCD"[number % 4])
    found = delineate_brain(scan, strip)
    assert dice(found, truth) > 0.99
    assert found[scan.blood].all()
    assert abs(int(found.sum()) - int(truth.sum())) * scan.ct.voxel_ml < 25


def test_the_mask_follows_neither_the_canal_nor_the_scalp_over_a_gap(strip):
    scan, truth = draw("craniotomy, cut vertex, open foramen", "C")
    leak = delineate_brain(scan, strip) & ~truth
    heights = np.argwhere(leak) @ scan.ct.affine[2, :3] + scan.ct.affine[2, 3]
    bottom = (np.argwhere(truth) @ scan.ct.affine[2, :3] + scan.ct.affine[2, 3]).min()
    assert heights.min() > bottom - 8
    away_mm = ndimage.distance_transform_edt(~truth, sampling=scan.ct.spacing_mm)
    assert away_mm[leak].max() < 10
    assert np.count_nonzero(leak & (scan.ct.data < -20)) * scan.ct.voxel_ml < 1.5


def test_the_mask_is_the_same_with_the_head_stored_upside_down(strip):
    scan, _ = draw("open foramen", "A")

    def turned(volume):
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, 2] * (volume.data.shape[2] - 1)
        affine[:3, 2] *= -1
        return Volume(np.flip(volume.data, 2).transpose(2, 0, 1), affine[:, [2, 0, 1, 3]])

    found = delineate_brain(NativeScan(*map(turned, (scan.ct, scan.iph, scan.ivh))), strip)
    expected = turned(scan.ct.with_data(delineate_brain(scan, strip))).data
    assert dice(found, expected) > 0.999


def test_a_wide_gap_is_closed_where_the_skull_would_be(strip):
    """Neither the dome of brain that reaches into the gap is lost, nor the scalp over it found."""
    scan, truth = draw("craniotomy 70 mm", "B")
    found = delineate_brain(scan, strip)
    assert np.count_nonzero(truth & ~found) * scan.ct.voxel_ml < 3
    away_mm = ndimage.distance_transform_edt(~truth, sampling=scan.ct.spacing_mm)
    assert np.count_nonzero(found & (away_mm > 4)) * scan.ct.voxel_ml < 2


@pytest.mark.parametrize("place", ["in the scalp", "below the skull"])
def test_blood_is_kept_wherever_it_is_drawn(strip, place):
    scan, truth = draw("easy", "A")
    blood = np.zeros_like(truth)
    corner = {"in the scalp": (slice(3, 5), slice(60, 64), 20), "below the skull": (50, 60, 0)}
    blood[corner[place]] = True
    assert not (blood & truth).any()
    scan = NativeScan(scan.ct, scan.ct.with_data(blood), scan.ivh)
    assert delineate_brain(scan, strip)[scan.blood].all()


def test_a_scan_without_a_skull_is_an_error(strip):
    scan, _ = draw("easy", "A")
    stripped = NativeScan(scan.ct.with_data(np.minimum(scan.ct.data, 90)), scan.iph, scan.ivh)
    with pytest.raises(ImageError, match="no soft tissue enclosed by bone above 300 HU"):
        find_by_morphology(stripped, strip)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="no scans of real anatomy here")
def test_the_brain_keeps_its_volume_between_two_scans_of_a_patient(strip):
    patient = read_sheet(REAL).iloc[1]
    volumes_ml = []
    for session in ("baseline", "followup"):
        images = [read_volume(patient[f"{session}_{image}"]) for image in ("ct", "iph", "ivh")]
        scan = NativeScan(images[0], *(mask.with_data(mask.data > 0) for mask in images[1:]))
        found = delineate_brain(scan, strip)
        assert found[scan.blood].all()
        volumes_ml.append(volume_ml(scan.ct.with_data(found)))
    assert volumes_ml[1] == pytest.approx(volumes_ml[0], rel=0.01)
    assert 1900 < volumes_ml[0] < 2150


def test_every_method_of_the_settings_has_a_function_but_the_sheets_own(strip):
    names = get_args(SkullStrip.model_fields["method"].annotation)
    assert set(names) == {*METHODS, "provided"}
    scan, _ = draw("easy", "A", factor=4.0)
    with pytest.raises(ImageError, match=r"empty cell .* Name the mask in baseline_brain"):
        delineate_brain(scan, strip.model_copy(update={"method": "provided"}))


FAKE = """#!{python}
import sys
import nibabel as nib
import numpy as np
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert sorted(options) == ["-b", "-i", "-m"] and options["-b"] == "0", options
image = nib.load(options["-i"])
data = np.asanyarray(image.dataobj)
assert data.min() == 0 and data.max() == 100, (data.min(), data.max())
affine = image.affine
{act}
nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), options["-m"])
"""


@pytest.fixture
def synthstrip(tmp_path, monkeypatch, strip):
    """Runs `delineate_brain` with a stand-in for the command that does what it is told."""
    box = np.full((6, 5, 4), -1000.0, np.float32)
    box[1:5, 1:4, 1:3], box[0, 0, 0] = 30, 1200
    affine = np.array([[-2.0, 0, 0, 9], [0, 0, 3, -4], [0, 2, 0, 5], [0, 0, 0, 1]])
    ct = Volume(box, affine)
    iph, ivh = np.zeros(box.shape, bool), np.zeros(box.shape, bool)
    iph[5, 4, 3] = ivh[0, 4, 3] = True
    scan = NativeScan(ct, ct.with_data(iph), ct.with_data(ivh))
    monkeypatch.setenv("PATH", str(tmp_path))

    def run(act):
        if act is not None:
            command = tmp_path / "mri_synthstrip"
            command.write_text(
                act if act.startswith("!") else FAKE.format(python=sys.executable, act=act)
            )
            command.chmod(0o755)
        return scan, delineate_brain(scan, strip.model_copy(update={"method": "synthstrip"}))

    return run


def test_synthstrip_gets_the_clipped_ct_and_its_mask_is_united_with_the_blood(synthstrip):
    scan, found = synthstrip("mask = (data > 20) & (data < 50)")
    assert np.array_equal(found, (scan.ct.data == 30) | scan.blood)
    assert found.sum() == 24 + 2


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (None, r"no command mri_synthstrip on the PATH.*Install FreeSurfer.*method: morphology"),
        (
            "sys.exit('first\\nmodel weights not found\\n')",
            r"exit code 1 \(model weights not found",
        ),
        ("sys.exit(7)", r"exit code 7 \(nothing on stderr"),
        ("mask = data < -1", "an empty mask"),
        ("mask = data[1:] >= 0", r"a mask of shape \(5, 5, 4\), inf mm off the CT's grid"),
        ("affine[0, 3] += 0.5; mask = data > 20", r"\(6, 5, 4\), 0\.5 mm off the CT's grid"),
        ("sys.exit(0)", "no mask written"),
        ("open(options['-m'], 'w').close(); sys.exit()", r"a file (of 0 bytes|that cannot)"),
        ("!not a program", "a command that cannot be run"),
    ],
)
def test_a_synthstrip_that_fails_says_what_to_do(synthstrip, act, message):
    with pytest.raises(ImageError, match=message) as error:
        synthstrip(act)
    assert "preprocess.skull_strip.method: morphology" in str(error.value)
