"""Memory asked for a scan follows its size, read from headers."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from tiny_head import SHAPE, save
from tiny_series import draw

from hemexp.preprocess import memory
from hemexp.preprocess.memory import LEAST_MB, needed_mb, scan_mb


def test_the_documented_sizes():
    assert needed_mb(47e6) == LEAST_MB < needed_mb(48e6)
    assert needed_mb(512 * 512 * 300) == 3132


@pytest.mark.parametrize(
    ("voxels", "peak_mb"), [(256 * 256 * 52, 239), (512 * 512 * 100, 853), (512 * 512 * 300, 2454)]
)
def test_what_was_measured_fits_with_a_quarter_to_spare(voxels, peak_mb):
    assert 1.25 * peak_mb <= needed_mb(voxels) <= max(LEAST_MB, 1.4 * peak_mb)


def test_sizes_come_from_headers_of_either_form(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "needed_mb", lambda voxels: voxels)
    header = nib.Nifti1Header()
    header.set_data_shape((512, 511, 300))
    (tmp_path / "ct.nii").write_bytes(header.binaryblock + b"\0\0\0\0")
    assert scan_mb(str(tmp_path / "ct.nii")) == 512 * 511 * 300
    save(tmp_path / "ct.nii.gz", np.zeros((3, 4, 5)))
    assert scan_mb(str(tmp_path / "ct.nii.gz")) == 60
    image = sitk.GetImageFromArray(np.zeros((5, 6, 7), dtype=np.int16))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    (tmp_path / "ct.nrrd").write_bytes((tmp_path / "ct.nrrd").read_bytes()[:-400])
    assert scan_mb(str(tmp_path / "ct.nrrd")) == 210
    draw(tmp_path / "d")
    (tmp_path / "d" / "0_notes.txt").write_text("no DICOM")
    for path in (tmp_path / "d", tmp_path / "d" / "3_004.dcm"):
        assert scan_mb(str(path)) == memory.RESAMPLED * (1 + SHAPE[2]) * np.prod(SHAPE[:2])


def test_what_cannot_be_read_asks_for_the_least(tmp_path):
    for name in ("broken.nii.gz", "broken.nrrd"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    for name in ("broken.nii.gz", "broken.nrrd", "empty", "absent.nii"):
        assert scan_mb(str(tmp_path / name)) == LEAST_MB
