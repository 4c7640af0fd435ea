"""Scans are checked whole: every fault names the patient and the file, and nothing is written."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from hemexp.cohort import REQUIRED, CohortError
from hemexp.preprocess.check import run_check
from hemexp.preprocess.scans import read_scan
from hemexp.preprocess.skull import run_strip_skull
from hemexp.volumes import ImageError

SHAPE = (9, 8, 5)
AFFINE = np.diag([1.5, 2.0, 5.0, 1.0])


def save(path, data, affine=AFFINE, dtype=np.float32):
    nib.save(nib.Nifti1Image(np.asarray(data, dtype=dtype), affine), path)


@pytest.fixture
def files(tmp_path):
    """A right scan: air round a box of bone round brain, with two touching bleeds."""
    ct = np.full(SHAPE, -1000.0)
    ct[2:7, 2:6, 1:4] = 900
    ct[3:6, 3:5, 2] = 35
    iph, ivh = np.zeros(SHAPE), np.zeros(SHAPE)
    iph[3:5, 3, 2] = 1
    ivh[5, 3, 2] = 1
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("ct", "iph", "ivh")}
    for name, data in (("ct", ct), ("iph", iph), ("ivh", ivh)):
        save(paths[name], data)
    return paths


def edit(path, change):
    data = nib.load(path).get_fdata()
    change(data)
    save(path, data)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:60])


def no_gzip(path):
    path.write_bytes(b"not an image at all")


def with_affine(path, affine):
    save(path, nib.load(path).get_fdata(), affine)


def flat_voxels(path):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[280:328] = np.zeros(12, dtype="<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))


def make_folder(path):
    path.unlink()
    path.mkdir()


SHEARED = AFFINE.copy()
SHEARED[1, 2] = 1.0
SHIFTED = AFFINE.copy()
SHIFTED[0, 3] = 0.5

BAD = {
    "unreadable": ("ct", no_gzip, "cannot be read"),
    "truncated": ("ct", cut_short, "cannot be read"),
    "missing": ("ivh", lambda path: path.unlink(), "cannot be read"),
    "4D": ("ct", lambda path: save(path, np.zeros((*SHAPE, 2))), "shape (9, 8, 5, 2)"),
    "NaN": ("ct", lambda path: edit(path, lambda d: d.__setitem__((0, 0, 0), np.nan)), "1 voxels"),
    "Inf": ("ct", lambda path: edit(path, lambda d: d.__setitem__((0, 0, 0), np.inf)), "1 voxels"),
    "mask cropped": ("iph", lambda path: save(path, np.ones((9, 8, 4))), "shape (9, 8, 4)"),
    "mask shifted": ("ivh", lambda path: with_affine(path, SHIFTED), "corners 0.5 mm away"),
    "not binary": ("iph", lambda path: edit(path, lambda d: d.__setitem__((0, 0, 0), 2)), "1, 2"),
    "empty": ("iph", lambda path: save(path, np.zeros(SHAPE)), "an empty mask"),
    "sheared": ("ct", lambda path: with_affine(path, SHEARED), "sheared affine"),
    "no intercept": ("ct", lambda path: edit(path, lambda d: d.__iadd__(1024)), "24 HU"),
    "picture": ("ct", lambda path: edit(path, lambda d: d.clip(0, 255, out=d)), "not HU"),
    "wrapped": ("ct", lambda path: edit(path, lambda d: d.__setitem__(d < 0, 64512)), "64512"),
    "flat voxel": ("ct", flat_voxels, "voxel sizes"),
    "DICOM": ("ct", make_folder, "dcm2niix"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_images_are_refused_by_name_and_leave_nothing_behind(case, files, tmp_path, settings):
    image, damage, told = BAD[case]
    damage(files[image])
    mask, volumes = tmp_path / "out" / "mask.nii.gz", tmp_path / "out" / "volumes.tsv"
    with pytest.raises(ImageError) as error:
        run_strip_skull(
            "P7", "followup", *files.values(), mask, volumes, settings.preprocess.skull_strip
        )
    message = str(error.value)
    assert f"patient P7, followup {image}, {files[image]}" in message
    assert told in message
    assert "expected" in message
    assert len(error.value.faults) == 1
    assert not (tmp_path / "out").exists()


def test_all_faults_of_a_scan_are_told_at_once(files):
    no_gzip(files["ct"])
    edit(files["iph"], lambda data: data.__setitem__((0, 0, 0), 3))
    with pytest.raises(ImageError) as error:
        read_scan("P7", "baseline", *files.values())
    assert len(error.value.faults) == 2


def test_a_scan_without_skull_is_refused(files, tmp_path, settings):
    edit(files["ct"], lambda data: data.clip(-1000, 60, out=data))
    with pytest.raises(ImageError, match=r"patient P7, baseline ct, .*no soft tissue enclosed"):
        run_strip_skull(
            "P7", "baseline", *files.values(), tmp_path / "m.nii.gz", tmp_path / "v.tsv",
            settings.preprocess.skull_strip,
        )  # fmt: skip


def test_a_right_scan_is_read_as_it_is(files):
    save(files["ivh"], nib.load(files["ivh"]).get_fdata() * 255, dtype=np.uint8)
    edit(files["ct"], lambda data: data.__setitem__((0, 0, 0), -3024))
    scan = read_scan("P7", "baseline", *files.values())
    assert scan.ct.data.min() == -1024
    assert scan.ct.data.max() == 900
    assert (scan.iph.data.sum(), scan.ivh.data.sum(), scan.blood.sum()) == (2, 1, 3)
    assert scan.iph.data.dtype == bool


def test_where_masks_overlap_the_voxel_is_ivh(files):
    save(files["iph"], nib.load(files["iph"]).get_fdata() + nib.load(files["ivh"]).get_fdata())
    scan = read_scan("P7", "baseline", *files.values())
    assert (scan.iph.data.sum(), scan.ivh.data.sum()) == (2, 1)
    save(files["iph"], nib.load(files["ivh"]).get_fdata())
    with pytest.raises(ImageError, match="no voxel outside the IVH"):
        read_scan("P7", "baseline", *files.values())


def test_a_given_brain_mask_is_used_with_the_blood(files, tmp_path, settings):
    brain = np.zeros(SHAPE)
    brain[3:6, 3:5, 2] = 1
    brain[3, 3, 2] = 0
    save(tmp_path / "brain.nii.gz", brain)
    outputs = (tmp_path / "m.nii.gz", tmp_path / "v.tsv")
    run_strip_skull("P7", "baseline", *files.values(), *outputs,
                    settings.preprocess.skull_strip, brain=tmp_path / "brain.nii.gz")  # fmt: skip
    assert np.asarray(nib.load(outputs[0]).dataobj).sum() == 6
    header, row = outputs[1].read_text().splitlines()
    assert header.split("\t") == ["patient_id", "session", "iph_ml", "ivh_ml", "brain_ml"]
    assert row.split("\t") == ["P7", "baseline", "0.03", "0.015", "0.09"]


def write_sheet(path, patients):
    """A sheet from (patient_id, split, {column: file}) per patient."""
    lines = ["\t".join(REQUIRED)]
    for patient_id, split, files in patients:
        cells = {"patient_id": patient_id, "center": "A", "split": split, "onset_to_ct_h": "2"}
        cells |= {column: str(file) for column, file in files.items()}
        lines.append("\t".join(cells.get(name, "") for name in REQUIRED))
    path.write_text("\n".join(lines) + "\n")


def copies(files, session, tag):
    """The right scan under new names, as columns of the sheet."""
    made = {}
    for image, path in files.items():
        made[f"{session}_{image}"] = path.with_name(f"{tag}_{path.name}")
        made[f"{session}_{image}"].write_bytes(path.read_bytes())
    return made


def test_check_tells_the_faults_of_all_scans_in_one_message(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = copies(files, "baseline", "a") | copies(files, "followup", "b")
    second = copies(files, "baseline", "c")
    drawn = {f"baseline_{image}": f"results/phantom/sub-N3/{image}.nii.gz" for image in files}
    sheet = tmp_path / "samples.tsv"
    patients = [("P1", "train", first), ("P2", "predict", second), ("N3", "predict", drawn)]
    write_sheet(sheet, patients)
    assert run_check(sheet, images=True) is None

    no_gzip(first["followup_ct"])
    save(second["baseline_iph"], np.zeros(SHAPE))
    assert run_check(sheet, images=False) is None
    with pytest.raises(CohortError) as error:
        run_check(sheet, images=True)
    assert "2 fault(s)" in str(error.value)
    assert "patient P1, followup ct" in str(error.value)
    assert "patient P2, baseline iph" in str(error.value)

    write_sheet(sheet, patients[1:])
    with pytest.raises(CohortError, match="no training patient"):
        run_check(sheet, images=True)
