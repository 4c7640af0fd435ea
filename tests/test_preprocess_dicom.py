"""A CT as DICOM: converted to the truth, the mended twin taken, one series or none."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import nibabel as nib
import numpy as np
import pytest
from mini import REPOSITORY
from scipy import ndimage
from tiny_head import SHAPE, head, save
from tiny_series import EVEN, UNEVEN, draw

from hemexp.preprocess.dicom.convert import find_dcm2niix
from hemexp.preprocess.dicom.read import files_of, is_dicom, read_dicom
from hemexp.preprocess.raw import read_raw_scan
from hemexp.preprocess.remarks import Remark, notes_of
from hemexp.volumes import ImageError, volume_ml


def at(volume, where):
    """HU of an image at RAS mm, linear, where it lies in the image; NaN elsewhere."""
    index = (where - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    return ndimage.map_coordinates(volume.data, np.moveaxis(index, -1, 0), order=1, cval=np.nan)


def test_values_and_places_are_the_truth(tmp_path):
    hu, where = draw(tmp_path / "d")
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert notes_of(remarks) == ("converted from DICOM (series 3)",)
    assert np.allclose(volume.spacing_mm, [4.5, 4.4, 7])
    for corner in ((0, 0, 0), (39, 0, 20), (7, 44, 3)):
        index = np.linalg.inv(volume.affine) @ [*where[corner], 1]
        assert np.allclose(index, np.rint(index), atol=1e-3)
        assert volume.data[tuple(np.rint(index[:3]).astype(int))] == hu[corner]


def test_the_same_series_gives_the_same_image_twice_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    draw(tmp_path / "d", tilt_deg=-15)
    before = {path: path.read_bytes() for path in files_of(tmp_path / "d")}
    one, two = read_dicom(tmp_path / "d")[0], read_dicom(tmp_path / "d")[0]
    assert one.data.tobytes() == two.data.tobytes()
    assert one.affine.tobytes() == two.affine.tobytes()
    assert not list((tmp_path / "tmp").iterdir())
    assert {path: path.read_bytes() for path in files_of(tmp_path / "d")} == before


def test_what_a_killed_job_leaves_behind_names_nobody(tmp_path, monkeypatch):
    kept = contextlib.nullcontext(tmp_path / "kept")
    kept.enter_result.mkdir()
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda prefix: kept)
    draw(tmp_path / "d", PatientName="Doe^Jane", PatientBirthDate="19500102")
    read_dicom(tmp_path / "d")
    (made,) = kept.enter_result.glob("out/*.json")
    assert "GE" in made.read_text()
    assert not any(word in made.read_text() for word in ("Doe", "1950", "P7"))


@pytest.mark.parametrize(
    ("heights", "tilt_deg", "note"),
    [
        (EVEN, -15, "gantry tilt of 15 degrees undone"),
        (UNEVEN, 0, "slices made equidistant"),
        (UNEVEN, 15, "gantry tilt of 15 degrees undone, slices made equidistant"),
    ],
)
def test_a_tilted_or_uneven_series_is_mended_and_stays_in_place(tmp_path, heights, tilt_deg, note):
    hu, where = draw(tmp_path / "d", heights, tilt_deg)
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert remarks == [Remark(f"converted from DICOM (series 3, {note})")]
    inside = np.linalg.norm(where / (62, 78, 52), axis=-1) < 0.8
    found = at(volume, where[inside])
    assert np.nanmean(np.abs(found - hu[inside])) < 8
    assert np.count_nonzero(np.isfinite(found)) > 0.95 * inside.sum()


def test_slices_in_either_order_lie_where_they_were(tmp_path):
    hu, where = draw(tmp_path / "down", EVEN[::-1])
    volume, _, _ = read_dicom(tmp_path / "down")
    assert np.nanmax(np.abs(at(volume, where) - hu)) < 0.1


def test_a_localiser_is_put_aside_and_said(tmp_path):
    draw(tmp_path / "d")
    draw(tmp_path / "d", EVEN[:1], SeriesNumber=1, SeriesDescription="SCOUT")
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert volume.data.shape == SHAPE
    assert notes_of(remarks)[1] == "left aside: series 1 'SCOUT' (CT, 1 slices, 4.5 x 4.4 x 7 mm)"


def test_several_series_are_listed_and_one_file_names_one(tmp_path):
    draw(tmp_path / "d")
    draw(tmp_path / "d", EVEN[:9], SeriesNumber=4, SeriesDescription="BONE")
    with pytest.raises(ImageError) as error:
        read_dicom(tmp_path / "d")
    assert "2 series in this DICOM folder: series 3 'HEAD' (CT, 21 slices" in str(error.value)
    listed = f"series 4 'BONE' (CT, 9 slices, 4.5 x 4.4 x 7 mm), one of its files: {tmp_path}"
    assert f"{listed}/d/4_000.dcm" in str(error.value)
    assert read_dicom(tmp_path / "d" / "4_002.dcm")[0].data.shape[2] == 9
    volume, remarks, _ = read_dicom(tmp_path / "d" / "3_002.dcm")
    assert volume.data.shape == SHAPE
    assert notes_of(remarks) == ("converted from DICOM (series 3)",)


def test_a_program_that_is_missing_is_told(tmp_path):
    """In a process of its own: no package of that name, and nothing on the PATH.

    pydicom is hidden, as `python -m hemexp` hides it from nibabel.
    """
    draw(tmp_path / "d", EVEN[:5])
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "dcm2niix.py").write_text("raise ImportError('not installed')")
    program = (
        "import sys; sys.modules['pydicom'] = None; from pathlib import Path; "
        "from hemexp.preprocess.dicom.read import read_dicom; "
        f"read_dicom(Path({str(tmp_path / 'd')!r}))"
    )
    paths = {"PATH": "", "PYTHONPATH": f"{absent}:{REPOSITORY}"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | paths
    )
    assert done.returncode and "Run `pip install dcm2niix`." in done.stderr, done.stderr


def test_dicom_is_told_from_nifti_by_its_contents(tmp_path):
    draw(tmp_path / "d", EVEN[:5])
    shutil.copy(tmp_path / "d" / "3_001.dcm", tmp_path / "IM1")
    save(tmp_path / "a.nii.gz", np.zeros((3, 4, 5)))
    assert is_dicom(tmp_path / "IM1") and is_dicom(tmp_path / "d")
    assert not is_dicom(tmp_path / "a.nii.gz") and not is_dicom(tmp_path / "none")
    assert len(files_of(tmp_path / "d")) == 5


@pytest.mark.parametrize(("tilt_deg", "astray_mm"), [(-15, 0), (15, 25)])
def test_masks_drawn_on_the_tilted_image_of_dcm2niix_are_measured_on_the_ct(
    tmp_path, settings, tilt_deg, astray_mm
):
    """dcm2niix misplaces the one image: its masks come along, those in the true place stay."""
    draw(tmp_path / "d", EVEN, tilt_deg)
    volume, _, _ = read_dicom(tmp_path / "d")
    command = [find_dcm2niix(tmp_path), "-l", "n", "-f", "x", "-o", tmp_path, tmp_path / "d"]
    subprocess.run(command, check=True, capture_output=True)
    (theirs,) = (nib.load(path).affine for path in tmp_path.glob("x_Tilt*.nii"))
    assert np.linalg.norm(theirs - volume.affine) == pytest.approx(astray_mm, abs=1)
    index = np.moveaxis(np.indices(volume.data.shape), 0, -1)
    _, *masks = head(index @ volume.affine[:3, :3].T + volume.affine[:3, 3])
    for affine in (theirs, volume.affine):
        files = [tmp_path / "iph.nii.gz", tmp_path / "ivh.nii.gz"]
        for file, mask in zip(files, masks, strict=True):
            save(file, mask, affine)
        raw = read_raw_scan("P7", "baseline", tmp_path / "d", *files, settings.preprocess.raw)
        assert np.array_equal(raw.scan.iph.data, masks[0])
        assert np.array_equal(raw.scan.ivh.data, masks[1])
        assert raw.iph_ml == pytest.approx(volume_ml(volume.with_data(masks[0])))
        assert np.median(raw.scan.ct.data[raw.scan.iph.data]) == pytest.approx(62, abs=3)
        assert raw.notes == ("converted from DICOM (series 3, gantry tilt of 15 degrees undone)",)
