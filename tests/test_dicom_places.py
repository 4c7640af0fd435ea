"""Where a series lies, by its own positions: tilt, order, gaps, copies, changing intercepts."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, ImplicitVRLittleEndian, RLELossless
from tiny_series import EVEN, FIRST, UNEVEN, draw, draw_ramp, misplaced_mm

from hemexp.preprocess.dicom.convert import remarks_of
from hemexp.preprocess.dicom.geometry import find_gaps
from hemexp.preprocess.dicom.read import read_dicom
from hemexp.preprocess.remarks import Remark, notes_of, warnings_of
from hemexp.volumes import ImageError

ANONYMOUS = dict.fromkeys(
    ("InstanceNumber", "SliceThickness", "Manufacturer", "GantryDetectorTilt")
)
NO_NUMBERS = np.full(21, np.nan)


def along_z(heights):
    return FIRST + np.outer(heights, (0, 0, 1))


@pytest.mark.parametrize("facts", [{}, ANONYMOUS], ids=["told", "anonymous"])
@pytest.mark.parametrize("heights", [EVEN[::-1], UNEVEN, UNEVEN[::-1]])
@pytest.mark.parametrize("tilt_deg", [0, 8, -20])
def test_every_voxel_lies_where_its_file_says(tmp_path, tilt_deg, heights, facts):
    for name, direction in zip("xyz", np.eye(3), strict=True):
        folder = tmp_path / name
        where = draw_ramp(folder, direction, along_z(heights), tilt_deg, **facts)
        volume, remarks, _ = read_dicom(folder)
        assert misplaced_mm(volume, direction, where) < 0.03
        assert warnings_of(remarks) == ()
        assert (f"tilt of {abs(tilt_deg)} degrees" in remarks[0].words) == bool(tilt_deg)


def test_slices_that_move_sideways_lie_where_their_files_say_and_are_doubted(tmp_path):
    positions = along_z(EVEN)
    positions[9:] += (6, -11, 0)
    for name, direction in zip("xyz", np.eye(3), strict=True):
        where = draw_ramp(tmp_path / name, direction, positions)
        volume, remarks, _ = read_dicom(tmp_path / name)
        assert warnings_of(remarks) == ("slices that do not lie along one line",)
        assert misplaced_mm(volume, direction, where[:, :, :9]) < 0.03
        assert misplaced_mm(volume, direction, where[:, :, 9:]) < 0.03


def test_a_missing_slice_is_doubted_with_its_place(tmp_path):
    hu, where = draw(tmp_path / "d")
    (tmp_path / "d" / "3_007.dcm").unlink()
    volume, remarks, _ = read_dicom(tmp_path / "d")
    gap = "1 slice missing: a gap of 14 mm between z = -28 and -14 mm"
    assert warnings_of(remarks) == (f"{gap}, filled between its neighbours",)
    index = (where[..., 2] - volume.affine[2, 3]) / volume.affine[2, 2]
    found = volume.data[:, ::-1, np.rint(index[0, 0]).astype(int)]
    assert np.abs(found - hu)[:, :, [0, 6, 8, 20]].max() < 0.1


@pytest.mark.parametrize(
    ("heights", "instances", "gaps"),
    [
        (np.delete(EVEN, [4, 5, 11]), NO_NUMBERS[:18], [(3, 2), (8, 1)]),
        (np.r_[0:50:5, 55:120:10], NO_NUMBERS[:17], []),
        (EVEN[::2], 1 + np.arange(21)[::2], []),
        (np.delete(EVEN, [4, 6]), np.delete(np.arange(21), [4, 6]), [(3, 1), (4, 1)]),
        (UNEVEN, NO_NUMBERS, []),
        (EVEN[:2], NO_NUMBERS[:2], []),
    ],
)
def test_gaps_are_told_from_steps_that_were_meant(heights, instances, gaps):
    assert find_gaps(heights.astype(float), instances.astype(float)) == gaps


def test_a_copied_file_counts_once_and_a_second_slice_at_one_place_is_refused(tmp_path):
    draw(tmp_path / "d")
    alone, _, _ = read_dicom(tmp_path / "d")
    shutil.copy(tmp_path / "d" / "3_007.dcm", tmp_path / "d" / "copy.dcm")
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert volume.data.tobytes() == alone.data.tobytes() and warnings_of(remarks) == ()
    draw(tmp_path / "e", np.r_[EVEN, EVEN[5]])
    with pytest.raises(ImageError, match=r"1 slices .* such as 3_005.dcm and 3_021.dcm"):
        read_dicom(tmp_path / "e")


@pytest.mark.parametrize("form", [ImplicitVRLittleEndian, RLELossless])
def test_any_transfer_syntax_and_a_file_without_preamble(tmp_path, form):
    hu, _ = draw(tmp_path)
    for file in sorted(tmp_path.iterdir()):
        image = pydicom.dcmread(file)
        if form.is_compressed:
            image.compress(form, generate_instance_uid=False)
        image.file_meta.TransferSyntaxUID = form
        image.save_as(file)
        if form is ImplicitVRLittleEndian:
            start = b"\x08\x00\x08\x00"
            file.write_bytes(start + file.read_bytes().split(start, 1)[1])
    volume, remarks, _ = read_dicom(tmp_path)
    assert np.array_equal(volume.data[:, ::-1], hu) and warnings_of(remarks) == ()


def test_frames_of_one_file_lie_where_it_says(tmp_path):
    """An enhanced CT: all slices in one file, here of a tilted scan."""
    direction = np.array([0, 0.6, 0.8])
    where = draw_ramp(tmp_path, direction, along_z(EVEN[:9]), 10)
    slices = [pydicom.dcmread(file) for file in sorted(tmp_path.iterdir())]
    enhanced = slices[0]
    enhanced.SOPClassUID = enhanced.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    enhanced.NumberOfFrames = len(slices)
    enhanced.PixelData = b"".join(each.PixelData for each in slices)

    def group(sequence, source, *names):
        item, holder = Dataset(), Dataset()
        for name in names:
            setattr(item, name, source[name].value)
        setattr(holder, sequence, [item])
        return holder

    frames = [group("PlanePositionSequence", each, "ImagePositionPatient") for each in slices]
    shared = group("PlaneOrientationSequence", enhanced, "ImageOrientationPatient")
    shared.update(group("PixelMeasuresSequence", enhanced, "PixelSpacing", "SliceThickness"))
    scales = ("RescaleSlope", "RescaleIntercept")
    shared.update(group("PixelValueTransformationSequence", enhanced, *scales))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", *scales):
        delattr(enhanced, name)
    enhanced.SharedFunctionalGroupsSequence = [shared]
    enhanced.PerFrameFunctionalGroupsSequence = frames
    (tmp_path / "e").mkdir()
    enhanced.save_as(tmp_path / "e" / "IM1")
    volume, _, _ = read_dicom(tmp_path / "e")
    assert misplaced_mm(volume, direction, where) < 0.03


def test_an_intercept_that_changes_is_doubted_or_refused_with_its_slices(tmp_path):
    changed = {k: {"RescaleIntercept": -1100} for k in range(12, 21)}
    hu, _ = draw(tmp_path / "d", of_slice=changed)
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert np.array_equal(volume.data[:, ::-1], hu)
    words = "(1 / -1024 and 1 / -1100; 9 slices between z = 14 and 70 mm differ)"
    assert warnings_of(remarks) == (
        f"rescale slope and intercept that change between slices {words}",
    )
    wrong = {k: {"RescaleIntercept": 0, "shift": 1024} for k in range(12, 21)}
    draw(tmp_path / "e", of_slice=wrong)
    with pytest.raises(ImageError, match=r"9 slices between z = 14 and 70 .* at -1004 and 20 HU"):
        read_dicom(tmp_path / "e")


@pytest.mark.parametrize(
    ("lacking", "count"),
    [
        ("ImagePositionPatient", 21),
        ("ImageOrientationPatient", 2),
        ("PixelSpacing", 21),
        ("RescaleIntercept", 3),
    ],
)
def test_slices_whose_place_or_scale_is_not_said_are_refused(tmp_path, lacking, count):
    draw(tmp_path / "d", of_slice={k: {lacking: None} for k in range(count)})
    with pytest.raises(ImageError, match=f"no {lacking} in {count} of 21 slices of series 3"):
        read_dicom(tmp_path / "d")


def test_a_slice_of_another_size_is_left_aside_and_doubted(tmp_path):
    draw(tmp_path / "d", of_slice={7: {"PixelSpacing": [4.4, 4.6]}})
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert volume.data.shape[2] == 21
    gap, aside = warnings_of(remarks)
    assert gap.startswith("1 slice missing: a gap of 14 mm")
    assert aside == "left aside: series 3 'HEAD' (CT, 1 slices, 4.6 x 4.4 x 7 mm)"


@pytest.mark.parametrize("size", [0, 100, 400])
def test_a_file_that_cannot_be_read_is_doubted(tmp_path, size):
    draw(tmp_path / "d")
    (tmp_path / "d" / "notes.txt").write_text("no DICOM")
    last = tmp_path / "d" / "3_020.dcm"
    last.write_bytes(last.read_bytes()[:size])
    volume, remarks, _ = read_dicom(tmp_path / "d")
    assert volume.data.shape[2] == 20
    (warning,) = warnings_of(remarks)
    assert warning.startswith("1 of the folder's files cannot be read (")


def test_a_file_that_ends_early_is_refused_by_name(tmp_path):
    draw(tmp_path / "d")
    last = tmp_path / "d" / "3_020.dcm"
    last.write_bytes(last.read_bytes()[:3000])
    with pytest.raises(ImageError, match=r"not large enough to store image data: .*/d/3_020.dcm"):
        read_dicom(tmp_path / "d")


def test_what_dcm2niix_warns_of_is_kept():
    said = [
        "Found 21 DICOM file(s)",
        "Warning: Unable to determine slice direction: please check whether slices are flipped",
        "Warning: Unable to determine manufacturer (0008,0070), so conversion is not tuned",
        "Warning: Siemens XA exported as classic not enhanced DICOM",
        "Warning: Instance Number (0020,0013) order is not spatial.",
        "Warning: Siemens XA exported as classic not enhanced DICOM",
    ]
    assert remarks_of(said) == [
        Remark(f"dcm2niix: {said[1][9:]}", doubtful=True),
        Remark(f"dcm2niix: {said[2][9:]}"),
        Remark(f"dcm2niix: {said[3][9:]}"),
    ]
    assert notes_of(remarks_of(said[:1])) == ()
