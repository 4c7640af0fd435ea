"""DICOM objects read back: every pixel where the NIfTI has it, every number as the tables say."""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import pydicom
import pytest
from results_folder import save
from tiny_head import AFFINE, SHAPE, ball, head, places
from tiny_head import save as save_nifti
from tiny_series import EVEN, UNEVEN, draw

from hemexp import HemexpError
from hemexp.cli import main
from hemexp.columns import REQUIRED
from hemexp.desk.dicom.planes import fill_planes, masks_on_planes, on_planes, slab_mm
from hemexp.desk.dicom.source import read_source
from hemexp.layout import MAPS, Layout
from hemexp.preprocess.dicom.read import read_dicom
from hemexp.preprocess.strip import name_raw
from hemexp.provenance import write_sidecars
from hemexp.volumes import Volume, volume_ml, write_volume

pytest.importorskip("highdicom", reason="pip install highdicom, the extra `dicom`")

from highdicom.seg import segread
from highdicom.sr import srread

from hemexp.desk.dicom.export import run_export_dicom

SAMPLES = 4


@pytest.fixture(autouse=True)
def no_warning_but_of_names():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*person name")
        yield


def preprocess(folder, heights=EVEN, tilt_deg=0.0, **facts):
    """A series, and what a run keeps of the patient whose baseline it is."""
    draw(folder / "series", heights, tilt_deg, **facts)
    layout, (ct, _, _) = Layout(folder / "results"), read_dicom(folder / "series")
    _, iph, ivh = head(places(ct.data.shape, ct.affine))
    native = layout.native("P7", "baseline")
    volumes = {"patient_id": "P7", "session": "baseline"}
    for name, mask in (("iph", iph), ("ivh", ivh)):
        write_volume(getattr(native, name), mask, ct.affine, np.uint8)
        volumes[f"{name}_ml"] = volume_ml(ct.with_data(mask))
    save(pd.DataFrame([volumes]), native.volumes)
    raw = name_raw("P7", "baseline", {"ct": folder / "series"})
    write_sidecars([native.ct], verb="strip-skull", settings={}, inputs=raw, started=0.0)
    return layout, ct.with_data(iph), ct.with_data(ivh)


def draw_samples(layout, indicator="predicted"):
    """Maps whose probability grows along a slanting line, and samples of 20 to 50 mL."""
    affine = np.diag([12.0, 13.0, 9.0, 1.0])
    affine[:3, 3] = (-110, -110, -90)
    where = places((20, 19, 22), affine)
    ramp = np.clip(0.5 + (where @ [0.6, -0.48, 0.64]) / 400, 0, 1)
    for name in MAPS:
        write_volume(layout.sample_map("P7", name), ramp, affine, np.float32)
    k = np.arange(SAMPLES)
    table = {"sample": k, "indicator": indicator, "draws": "even", "iph_ml": 20.0 + 10 * k}
    save(
        pd.DataFrame(table | {"ivh_ml": 1.0 * k, "midline_shift_mm": 0.5}),
        layout.sample_volumes("P7"),
    )


def export(folder, layout):
    files, remarks = run_export_dicom(layout, "P7", folder / "series", folder / "out")
    return {path.stem.split("_")[1]: path for path in files}, remarks


def frames(path):
    """Segment, place (RAS mm) of every pixel, values and source of each frame, as DICOM says."""
    data = pydicom.dcmread(path)
    shared = data.SharedFunctionalGroupsSequence[0]
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    for values, frame in zip(pixels, data.PerFrameFunctionalGroupsSequence, strict=True):
        measures = (frame if "PixelMeasuresSequence" in frame else shared).PixelMeasuresSequence[0]
        turn = frame if "PlaneOrientationSequence" in frame else shared
        axes = np.reshape(turn.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
        first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        between_rows, between_columns = measures.PixelSpacing
        row, column = np.indices(values.shape)
        where = first + column[..., None] * axes[0] * between_columns
        where = (where + row[..., None] * axes[1] * between_rows) * (-1, -1, 1)
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        yield number, where, values, source


def marked(path, number):
    """RAS mm of the pixels of a segment, in order."""
    found = [where[values > 0] for one, where, values, _ in frames(path) if one == number]
    return in_order(np.concatenate(found))


def in_order(points):
    return points[np.lexsort(np.round(points, 1).T)]


def test_masks_of_even_slices_come_back_voxel_by_voxel(tmp_path):
    layout, iph, ivh = preprocess(tmp_path)
    files, remarks = export(tmp_path, layout)
    assert [*files] == ["seg", "report"] and "no samples" in remarks[0]
    for number, mask in ((1, iph), (2, ivh)):
        expected = in_order(places(mask.data.shape, mask.affine)[mask.data])
        found = marked(files["seg"], number)
        assert len(found) == len(expected) and np.abs(found - expected).max() < 0.01
    assert expected[:, 0].mean() > 5  # to the patient's right: neither side is taken for the other


def test_a_frame_refers_to_the_slice_that_it_lies_on(tmp_path):
    layout, *_ = preprocess(tmp_path, EVEN[::-1])
    files, _ = export(tmp_path, layout)
    slices = [pydicom.dcmread(path) for path in (tmp_path / "series").iterdir()]
    heights = {one.SOPInstanceUID: float(one.ImagePositionPatient[2]) for one in slices}
    for _, where, _, source in frames(files["seg"]):
        assert where[0, 0, 2] == pytest.approx(heights[source])
    seg = segread(files["seg"])
    first = slices[0]
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientName"):
        assert seg[name].value == first[name].value
    assert seg.SeriesInstanceUID != first.SeriesInstanceUID


@pytest.mark.parametrize("tilt_deg", [0, -20])
def test_masks_go_back_onto_tilted_and_uneven_slices_with_their_volume(tmp_path, tilt_deg):
    layout, iph, ivh = preprocess(tmp_path, UNEVEN, tilt_deg)
    series = read_source("P7", tmp_path / "series")
    heights_mm = series.stack.heights_mm
    thickness_mm = dict(zip(np.round(heights_mm, 2), slab_mm(heights_mm), strict=True))
    files, _ = export(tmp_path, layout)
    for number, mask in ((1, iph), (2, ivh)):
        shown_ml, true, drawn = 0.0, 0, 0
        for one, where, values, _ in frames(files["seg"]):
            if one != number:
                continue
            height = np.round(where[0, 0] @ series.stack.normal, 2)
            shown_ml += (values > 0).sum() * 4.4 * 4.5 * thickness_mm[height] / 1000
            _, *bleeds = head(where)
            true += (bleeds[number - 1] & (values > 0)).sum()
            drawn += (values > 0).sum()
        assert shown_ml == pytest.approx(volume_ml(mask), abs=0.5 * 4.4 * 4.5 * 7 / 1000 + 1e-6)
        assert true / drawn > 0.8  # a shift by one of these voxels leaves less


def test_probabilities_are_those_of_the_map_at_every_pixel(tmp_path):
    layout, *_ = preprocess(tmp_path, UNEVEN, 8)
    draw_samples(layout)
    files, remarks = export(tmp_path, layout)
    assert remarks == []
    seg = segread(files["probability"])
    assert seg.SegmentationFractionalType == "PROBABILITY" and seg.MaximumFractionalValue == 255
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [
        "p(IPH)",
        "p(IVH)",
        "p(new blood)",
    ]
    count = 0
    for _, where, values, _ in frames(files["probability"]):
        ramp = 0.5 + (where @ [0.6, -0.48, 0.64]) / 400
        inside = (np.abs(where - (4, 7, 4.5)) < (110, 112, 90)).all(axis=-1) & (ramp < 0.9)
        assert np.abs(values / 255 - ramp)[inside & (ramp > 0.1)].max() < 0.5 / 255 + 1e-4
        count += inside.sum()
    assert count > 1000


def numbers_of(group):
    return {one.name.value: (float(one.value), one.unit.value) for one in group.get_measurements()}


def test_the_report_tells_the_volumes_of_the_tables(tmp_path):
    layout, iph, ivh = preprocess(tmp_path)
    draw_samples(layout)
    files, _ = export(tmp_path, layout)
    report, seg = srread(files["report"]), segread(files["seg"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    for number, (group, mask) in enumerate(zip(groups, (iph, ivh), strict=True), 1):
        assert numbers_of(group)["118565006"] == (pytest.approx(volume_ml(mask), rel=1e-5), "mL")
        referred = group.referenced_segment
        assert referred.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert referred.referenced_segment_numbers == [number]
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
    forecast = numbers_of(report.content.get_image_measurement_groups()[-1])
    # 4 even draws of 20 to 50 mL: the median half way, .05 and .95 beyond the outermost.
    assert forecast["IPH_Q50"] == (35, "mL") and forecast["IPH_Q05"] == (20, "mL")
    growth = 20 + 10 * np.arange(SAMPLES) - volume_ml(iph)
    assert forecast["P_HE_6ML"] == ((growth >= 6).mean(), "1")
    source = {one.SOPInstanceUID for one in read_source("P7", tmp_path / "series").slices}
    assert {uids[2] for uids in report.get_evidence()} == {seg.SOPInstanceUID, *source}


def test_a_patient_without_ivh_has_one_segment_and_no_ivh_in_the_report(tmp_path):
    layout, iph, _ = preprocess(tmp_path)
    native = layout.native("P7", "baseline")
    write_volume(native.ivh, np.zeros(iph.data.shape), iph.affine, np.uint8)
    save(pd.DataFrame([{"patient_id": "P7", "iph_ml": 5.0, "ivh_ml": 0.0}]), native.volumes)
    files, _ = export(tmp_path, layout)
    assert [one.SegmentLabel for one in segread(files["seg"]).SegmentSequence] == ["IPH"]
    content = srread(files["report"]).content
    (group,) = content.get_image_measurement_groups()
    assert group.tracking_identifier == "IVH"
    assert numbers_of(group)["118565006"] == (0, "mL")


def test_found_masks_say_so_and_equal_content_has_equal_identity(tmp_path):
    layout, *_ = preprocess(tmp_path)
    first = segread(export(tmp_path, layout)[0]["seg"])
    assert first.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    assert segread(export(tmp_path, layout)[0]["seg"]).SOPInstanceUID == first.SOPInstanceUID
    tracked = [one.TrackingUID for one in first.SegmentSequence]
    assert len({*tracked}) == 2
    record = {"verb": "segment-scan", "settings": {"method": "network"}}
    sidecar = layout.native("P7", "baseline").iph
    sidecar.with_name(sidecar.name.replace(".nii.gz", ".json")).write_text(json.dumps(record))
    again = segread(export(tmp_path, layout)[0]["seg"])
    assert again.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"


def test_what_is_no_forecast_leaves_no_map(tmp_path):
    layout, *_ = preprocess(tmp_path)
    draw_samples(layout, "oracle")
    files, (remark,) = export(tmp_path, layout)
    assert [*files] == ["seg", "report"] and "told what happened" in remark
    groups = srread(files["report"]).content.get_image_measurement_groups()
    assert not groups
    draw_samples(layout)
    layout.settings.write_text('{"preprocess": {"reference": "followup"}}')
    files, (remark,) = export(tmp_path, layout)
    assert [*files] == ["seg", "report"] and "follow-up's space" in remark


def test_what_cannot_be_exported_is_refused_with_a_reason(tmp_path):
    layout, *_ = preprocess(tmp_path)
    nifti = tmp_path / "ct.nii.gz"
    save_nifti(nifti, np.zeros(SHAPE), AFFINE)
    with pytest.raises(HemexpError, match=r"patient P7.*ct.nii.gz.*no DICOM.*--source"):
        run_export_dicom(layout, "P7", nifti, tmp_path / "out")
    with pytest.raises(HemexpError, match="no such file or folder"):
        run_export_dicom(layout, "P7", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(HemexpError, match=r"patient X9.*no such file.*excluded.tsv"):
        run_export_dicom(layout, "X9", tmp_path / "series", tmp_path / "out")
    draw(tmp_path / "bare", FrameOfReferenceUID=None, PatientID=None)
    with pytest.raises(HemexpError, match="found no FrameOfReferenceUID; expected"):
        run_export_dicom(layout, "P7", tmp_path / "bare", tmp_path / "out")
    draw(tmp_path / "other", SeriesDescription="OTHER")
    with pytest.raises(HemexpError, match="21 of 21 slices that the run did not read"):
        run_export_dicom(layout, "P7", tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_highdicom_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(HemexpError, match="pip install highdicom"):
        run_export_dicom(Layout(tmp_path), "P7", tmp_path, tmp_path / "out")


def test_a_series_without_names_is_exported_without_them(tmp_path):
    layout, *_ = preprocess(tmp_path, PatientID=None, PatientName=None, StudyDate=None)
    files, _ = export(tmp_path, layout)
    assert segread(files["seg"]).PatientID in ("", None)


def test_a_slice_stands_for_what_lies_nearest_to_it():
    assert slab_mm(np.array([0.0, 2, 6, 8])).tolist() == [2, 3, 3, 2]


def test_the_fullest_pixels_make_the_volume():
    soft = np.array([[[0.9, 0.2, 0.0]], [[0.6, 0.5, 0.0]]], dtype=np.float32)
    each_ml = np.array([1.0, 3.0])
    assert fill_planes(soft, each_ml, 4.4).ravel().tolist() == [1, 0, 0, 1, 0, 0]
    assert fill_planes(soft, each_ml, 100.0).sum() == 4  # no pixel that is empty
    assert fill_planes(soft, each_ml, 0.0).sum() == 0


def test_masks_on_planes_do_not_overlap(tmp_path):
    draw(tmp_path / "series", UNEVEN, 8)
    series = read_source("P7", tmp_path / "series")
    where = places((60, 60, 60), AFFINE / 2)
    one, other = (Volume(ball(where, (x, 0, 0), (25, 25, 25)), AFFINE / 2) for x in (-6, 6))
    assert (on_planes(one, series.stack, series.shape) <= 1).all()
    masks = {name: (mask, volume_ml(mask)) for name, mask in (("a", one), ("b", other))}
    found = masks_on_planes(masks, series.stack, series.shape)
    assert not (found["a"] & found["b"]).any() and found["a"].any() and found["b"].any()


def test_the_verb_takes_the_series_that_the_sheet_names(tmp_path, capsys, caplog):
    layout, *_ = preprocess(tmp_path)
    row = dict.fromkeys(REQUIRED, "") | {"patient_id": "P7", "center": "A", "split": "predict"}
    row |= {"baseline_ct": "series", "onset_to_ct_h": "2"}
    save(pd.DataFrame([row]), tmp_path / "samples.tsv")
    options = ["--samples", tmp_path / "samples.tsv", "--results", layout.root]
    command = ["export-dicom", *options, "--patient", "P7", "--out", tmp_path / "out"]
    main([*map(str, command)])
    seg, report, remark = capsys.readouterr().out.splitlines()
    assert segread(seg).NumberOfFrames > 1 and report.endswith("_report.dcm")
    assert "no samples" in remark and "Doe" not in caplog.text
    save_nifti(tmp_path / "ct.nii.gz", np.zeros(SHAPE), AFFINE)
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, command), "--source", str(tmp_path / "ct.nii.gz")])
    assert stopped.value.code == 2 and "found no DICOM; expected the baseline's" in caplog.text
