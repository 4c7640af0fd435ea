"""Masks as tools save them: label files, soft masks, NRRD, 4-D of one volume; and no IVH."""

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from test_bad_inputs import values, write_sheet
from tiny_head import AFFINE, SHAPE, head, places, save, write_head

from hemexp import HemexpError
from hemexp.cli import main
from hemexp.cohort import read_sheet
from hemexp.data_files import data_files
from hemexp.desk.check import run_check
from hemexp.desk.name_patterns import column_of, compile_pattern
from hemexp.desk.side_run import move_sheet
from hemexp.layout import Layout
from hemexp.preprocess.raw import read_raw_scan
from hemexp.preprocess.strip import name_raw, run_strip_skull
from hemexp.settings import MaskLabels
from hemexp.sheet import SheetError, scan_files
from hemexp.volumes import ImageError, read_volume

CT, IPH, IVH = head(places())
LABELS = IPH + 2 * IVH
LABELS[0, 0, :3] = 3
LPS = AFFINE * np.array([[-1], [-1], [1], [1]])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "study").mkdir()
    return write_head(tmp_path / "study")


@pytest.fixture
def read(files, settings):
    def read(labels=((), ()), **changed):
        used = {**files, **changed}
        raw = settings.preprocess.raw
        both = MaskLabels(iph=list(labels[0]), ivh=list(labels[1]))
        limits = raw.model_copy(update={"mask_labels": both})
        return read_raw_scan("P7", "baseline", used["ct"], used["iph"], used["ivh"], limits)

    return read


def refused(read, *args, **changed):
    with pytest.raises(ImageError) as error:
        read(*args, **changed)
    (fault,) = error.value.faults
    return fault


def save_nrrd(path, data, affine_lps=LPS):
    """Writes an NRRD image by another way than the one under test reads it."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(data).T))
    spacing_mm = np.linalg.norm(affine_lps[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


# ---- labels


def test_a_label_file_named_for_both_is_read_by_the_map(tmp_path, read):
    save(tmp_path / "seg.nii.gz", LABELS)
    both = dict.fromkeys(("iph", "ivh"), tmp_path / "seg.nii.gz")
    raw = read(([1], [2]), **both)
    assert np.array_equal(raw.scan.iph.data, IPH) and np.array_equal(raw.scan.ivh.data, IVH)
    assert raw.notes == ("label 3 in the file of the IPH mask not used",) and not raw.warnings
    upper = places()[..., 2] > 4
    save(tmp_path / "seg.nii.gz", np.where(upper, 4 * IPH, LABELS))
    raw = read(([1, 4], [2]), **both)
    assert np.array_equal(raw.scan.iph.data, IPH)
    assert raw.scan.ivh.data.sum() == (IVH & ~upper).sum()


def test_a_label_file_without_ivh_means_none_and_one_without_iph_is_refused(tmp_path, read):
    both = dict.fromkeys(("iph", "ivh"), tmp_path / "seg.nii.gz")
    save(tmp_path / "seg.nii.gz", IPH)
    assert read(([1], [2]), **both).ivh_ml == 0
    save(tmp_path / "seg.nii.gz", 2 * IVH)
    fault = refused(read, ([1], [2]), **both)
    assert fault.found == "label 2, none of which is IPH"
    assert fault.expected == "label 1 (preprocess.raw.mask_labels.iph)"


def test_labels_without_a_map_are_refused_with_the_values_and_the_map_to_set(tmp_path, read):
    save(tmp_path / "seg.nii.gz", LABELS)
    for changed in ({"iph": tmp_path / "seg.nii.gz"}, {"ivh": tmp_path / "seg.nii.gz"}):
        fault = refused(read, **changed)
        assert fault.found == "a mask with the values 0 and 1, 2, 3"
        assert "mask_labels: {iph: [1], ivh: [2]}" in fault.cure
    save(tmp_path / "seg.nii.gz", IPH)
    fault = refused(read, **dict.fromkeys(("iph", "ivh"), tmp_path / "seg.nii.gz"))
    assert fault.expected == "labels and a label map, for IPH and IVH share the file"


def test_a_binary_file_of_its_own_needs_no_label(read, files):
    raw = read(([4], [2]))
    assert np.array_equal(raw.scan.iph.data, IPH) and np.array_equal(raw.scan.ivh.data, IVH)
    save(files["ivh"], 2 * IVH)
    assert np.array_equal(read(([4], [2])).scan.ivh.data, IVH)
    save(files["ivh"], 3 * IVH)
    assert refused(read, ([4], [2])).found == "label 3, none of which is IVH"


def test_ivh_in_a_label_file_that_nobody_reads_is_doubtful(tmp_path, read):
    save(tmp_path / "seg.nii.gz", LABELS)
    raw = read(([1], [2]), iph=tmp_path / "seg.nii.gz", ivh=None)
    assert raw.warnings == ("labels 2, 3 in the file of the IPH mask not used",)


@pytest.mark.parametrize("labels", [((), ()), ([1], [2])])
def test_a_soft_mask_is_refused_with_the_advice_to_cut_it(labels, tmp_path, read):
    save(tmp_path / "soft.nii.gz", np.where(IPH, 0.75, np.where(IVH, 0.25, 0)))
    fault = refused(read, labels, iph=tmp_path / "soft.nii.gz")
    assert fault.found == "a mask with the values 0 and 0.25, 0.75: a soft mask"
    assert fault.cure == "Cut it at 0.5 and save it as 0 and 1."


def test_labels_must_differ():
    with pytest.raises(ValueError, match="labels of their own"):
        MaskLabels(iph=[1, 2], ivh=[2])
    with pytest.raises(ValueError, match="labels of their own"):
        MaskLabels(iph=[1], ivh=[])


# ---- formats


@pytest.mark.parametrize("name", ["m.nrrd", "m.seg.nrrd", "m.nhdr"])
def test_an_nrrd_lies_where_its_header_says(name, tmp_path):
    data = np.zeros((4, 5, 6), dtype=np.int16)
    data[3, 0, 5], data[0, 4, 0] = 7, -3
    lps = np.array([[0, 0.5, 0, 10], [-0.6, 0, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]])
    volume = read_volume(save_nrrd(tmp_path / name, data, lps))
    assert np.array_equal(volume.data, data)
    (corner,) = np.argwhere(volume.data == 7)
    # LPS of the corner is (10 + .5 * 0, 20 - .6 * 3, 30 + 2 * 5) = (10, 18.2, 40).
    assert volume.affine @ [*corner, 1] == pytest.approx([-10, -18.2, 40, 1])
    assert volume.spacing_mm == pytest.approx([0.6, 0.5, 2])


def test_a_scan_of_nrrd_files_is_the_scan_of_nifti_files(files, tmp_path, read):
    expected = read()
    ct = save_nrrd(tmp_path / "ct.nrrd", values(files["ct"]).astype(np.int16))
    seg = save_nrrd(tmp_path / "P7.seg.nrrd", LABELS.astype(np.uint8))
    raw = read(([1], [2]), ct=ct, iph=seg, ivh=seg)
    for image in ("ct", "iph", "ivh"):
        one, other = getattr(raw.scan, image), getattr(expected.scan, image)
        assert np.array_equal(one.data, other.data) and np.allclose(one.affine, other.affine)


def test_a_segmentation_cropped_to_its_blood_keeps_every_voxel(tmp_path, read):
    low, high = np.argwhere(IPH | IVH).min(0), np.argwhere(IPH | IVH).max(0) + 1
    box, affine = tuple(map(slice, low, high)), LPS.copy()
    affine[:3, 3] = (LPS @ [*low, 1])[:3]
    seg = save_nrrd(tmp_path / "seg.nrrd", LABELS[box].astype(np.uint8), affine)
    raw = read(([1], [2]), iph=seg, ivh=seg)
    assert np.array_equal(raw.scan.iph.data, IPH) and np.array_equal(raw.scan.ivh.data, IVH)
    assert raw.notes == ()


def write_header(path, space="left-posterior-superior", layers=1):
    directions = "(4.5,0,0) (0,4.4,0) (0,0,7)"
    sizes, kinds = " ".join(map(str, SHAPE)), "domain domain domain"
    if layers > 1:
        sizes, kinds, directions = f"{layers} {sizes}", f"list {kinds}", f"none {directions}"
    lines = ["NRRD0004", "type: uint8", f"dimension: {3 + (layers > 1)}", f"sizes: {sizes}"]
    lines += [f"space: {space}"] if space else ["space dimension: 3"]
    lines += [
        f"space directions: {directions}",
        f"kinds: {kinds}",
        "encoding: raw",
        "space origin: (-88,97,-70)",
    ]
    data = np.repeat(IPH.astype(np.uint8).T.ravel(), layers).tobytes()
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    return path


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({"space": ""}, "no placement (the header's space: none)"),
        ({"space": "scanner-xyz"}, "no placement (the header's space: scanner-xyz)"),
        ({"layers": 2}, "2 layers in one file"),
    ],
)
def test_an_nrrd_that_is_no_single_placed_image_is_refused(header, found, tmp_path, read):
    assert refused(read, iph=write_header(tmp_path / "m.nrrd", **header)).found == found


def test_an_nrrd_that_cannot_be_read_is_told(tmp_path, read):
    write_header(tmp_path / "m.nrrd")
    content = (tmp_path / "m.nrrd").read_bytes()
    for broken in (content[:-400], b"nonsense", b""):
        (tmp_path / "m.nrrd").write_bytes(broken)
        found = refused(read, iph=tmp_path / "m.nrrd").found
        assert found.startswith(("a file that cannot be read (", "a file of 0 bytes"))
        assert "\n" not in found


def test_four_axes_of_one_volume_are_that_volume(files, read):
    expected = read()
    for path in files.values():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine), path)
    assert nib.load(files["ct"]).shape == (*SHAPE, 1)
    raw = read()
    assert np.array_equal(raw.scan.ct.data, expected.scan.ct.data)
    assert (raw.iph_ml, raw.ivh_ml) == (expected.iph_ml, expected.ivh_ml)


def test_the_data_beside_a_header_count_among_its_files(tmp_path):
    header = save_nrrd(tmp_path / "m.nhdr", IPH.astype(np.uint8))
    assert data_files(header) == [header, tmp_path / "m.raw.gz"]
    assert data_files(tmp_path / "m.nrrd") == [tmp_path / "m.nrrd"]
    named = name_raw("P7", "baseline", {"iph": header})
    assert list(named) == [f"raw/sub-P7_ses-baseline_iph/0000{n}" for n in (0, 1)]


# ---- no IVH, and the sheet


def sheet_of(tmp_path, files, monkeypatch, **cells):
    monkeypatch.chdir(tmp_path)
    write_sheet(tmp_path / "samples.tsv", files)
    rows = [line.split("\t") for line in (tmp_path / "samples.tsv").read_text().splitlines()]
    for column, value in cells.items():
        rows[1][rows[0].index(column)] = value
    (tmp_path / "samples.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return tmp_path / "samples.tsv"


@pytest.mark.parametrize("word", ["none", "None"])
def test_none_in_the_sheet_means_no_ivh(word, files, tmp_path, monkeypatch, settings):
    path = sheet_of(tmp_path, files, monkeypatch, baseline_ivh=word)
    files["ivh"].unlink()
    run_check(path, settings.preprocess)
    row = read_sheet(path).iloc[0]
    raw = scan_files(row, "baseline")
    assert list(raw) == ["ct", "iph"]
    room = settings.preprocess
    run_strip_skull(Layout(tmp_path / "out"), "P7", "baseline", raw, room.skull_strip, room.raw)
    products = Layout(tmp_path / "out").native("P7", "baseline")
    assert values(products.ivh).sum() == 0 and values(products.iph).sum() == IPH.sum()
    record = json.loads(products.ivh.with_name(products.ivh.name[:-7] + ".json").read_text())
    assert record["ivh_mask"] == "none"
    assert list(record["inputs"]) == ["raw/sub-P7_ses-baseline_ct", "raw/sub-P7_ses-baseline_iph"]
    move_sheet(read_sheet(path), tmp_path / "there" / "config" / "samples.tsv")
    monkeypatch.chdir(tmp_path / "there")
    moved = read_sheet("config/samples.tsv").iloc[0]
    assert list(scan_files(moved, "baseline")) == ["ct", "iph"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"baseline_ivh": ""}, "found nothing; expected a file or none. Name the file, or writ"),
        ({"baseline_iph": "none"}, "found none; expected a file. Name the file: only an IVH mask"),
        ({"baseline_ct": "none"}, "found none; expected a file. Name the file: only an IVH mask"),
        ({"followup_ivh": "none"}, "found none; expected nothing for a 'predict' patient"),
        ({"baseline_ivh": "study/ct.nii.gz"}, "already used in row 2"),
    ],
)
def test_what_a_mask_cell_may_not_hold(cells, said, files, tmp_path, monkeypatch):
    path = sheet_of(tmp_path, files, monkeypatch, **cells)
    with pytest.raises(SheetError) as error:
        run_check(path, None)
    assert said in str(error.value) and len(error.value.faults) == 1


def test_the_sheet_may_name_one_label_file_for_both_masks(files, tmp_path, monkeypatch, settings):
    save(files["iph"], LABELS)
    path = sheet_of(tmp_path, files, monkeypatch, baseline_ivh="study/iph.nii.gz")
    run_check(path, None)
    with pytest.raises(HemexpError, match=r"1 fault\(s\).*\n.*values 0 and 1, 2, 3"):
        run_check(path, settings.preprocess)
    both = MaskLabels(iph=[1], ivh=[2])
    raw = settings.preprocess.raw.model_copy(update={"mask_labels": both})
    run_check(path, settings.preprocess.model_copy(update={"raw": raw}))


def test_the_check_says_what_is_doubtful(files, tmp_path, monkeypatch, settings, caplog):
    save(files["iph"], np.roll(IPH, 1, axis=2))
    path = sheet_of(tmp_path, files, monkeypatch)
    with caplog.at_level(logging.WARNING):
        run_check(path, settings.preprocess)
    assert "patient P7, baseline: only 69% of the IPH mask" in caplog.text


@pytest.mark.parametrize("given", [[], ["--baseline-ivh", "none"]])
def test_predict_takes_a_patient_without_ivh(given, monkeypatch):
    seen = []
    monkeypatch.setattr("hemexp.release.models.read_recipe", lambda folder: None)
    monkeypatch.setattr("hemexp.desk.predict.run_predict", lambda *args: seen.append(args[0]))
    options = "--baseline-ct ct.nii --baseline-iph iph.nii --onset-to-ct-h 2 --model m --out o"
    main(["predict", *options.split(), *given])
    (patient,) = seen
    assert patient.images == {
        "ct": Path("ct.nii"),
        "iph": Path("iph.nii"),
        "ivh": None,
        "brain": None,
    }


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".nhdr", ".nii.gz"])
def test_names_of_a_centres_nrrd_files_fit_the_patterns(ending):
    pattern = compile_pattern("{patient}/{session}_{image}")
    assert column_of(f"P7/base_ich{ending}", pattern) == ("P7", "baseline_iph")
    assert column_of(f"P7/base_ich{ending}.txt", pattern) is None
