"""Masks by a program of the study's own: what it is given, what is taken, what is refused."""

import sys

import numpy as np
import pytest

from hemexp import HemexpError
from hemexp.layout import Layout
from hemexp.segmentation.command import INPUT, fill_in
from hemexp.segmentation.segment import run_segment_scan
from hemexp.settings import CommandLabels
from hemexp.tables import read_table
from hemexp.volumes import read_volume, write_volume

SHAPE = (8, 9, 5)
LAS = np.array([[-0.5, 0, 0, 9], [0, 0.5, 0, -4], [0, 0, 5.0, 2], [0, 0, 0, 1.0]])
VOXEL_ML = 0.5 * 0.5 * 5 / 1000

STAND_IN = """\
import sys
from pathlib import Path
import nibabel as nib
import numpy as np
source, target = Path(sys.argv[1]), Path(sys.argv[2])
image = nib.load(source / "scan_0000.nii.gz" if source.is_dir() else source)
hu, affine = np.asarray(image.dataobj), image.affine
labels = np.select([hu == 60, hu == 70, hu == 45], [1, 4, 3]).astype(np.uint8)
print("loaded the weights")
def save(labels, affine=affine, name="scan.nii.gz"):
    path = target / name if target.is_dir() else target
    nib.save(nib.Nifti1Image(labels, affine), path)
{act}
"""


@pytest.fixture
def scan(tmp_path):
    """Layout with a stripped scan: IPH at 60 HU, IVH at 70, oedema at 45, a skull of 60 around."""
    layout = Layout(tmp_path / "results")
    brain = np.zeros(SHAPE, dtype=np.uint8)
    brain[1:7, 1:8, 1:4] = 1
    ct = np.where(brain, 30, -1000)
    ct[2:4, 2:4, 1:3], ct[5, 5, 2], ct[4, 4, 2] = 60, 70, 45
    native = layout.native("P1", "baseline")
    write_volume(native.ct, ct, LAS, np.int16)
    write_volume(native.brain, brain, LAS, np.uint8)
    return layout


@pytest.fixture
def command(settings, tmp_path):
    """Settings that run a stand-in program which does what it is told."""

    def make(act, places="{input_folder} {output_folder}", scan="whole", **labels):
        script = tmp_path / "stand in.py"
        script.write_text(STAND_IN.format(act=act))
        meaning = {"iph": [1], "ivh": [4], "other": [3]} | labels
        return settings.segmentation.model_copy(
            update={
                "method": "command",
                "command": f"{sys.executable} '{script}' {places}",
                "command_scan": scan,
                "command_labels": CommandLabels(**meaning),
            }
        )

    return make


def found(layout):
    native = layout.native("P1", "baseline")
    return [read_volume(path).data for path in (native.ct, native.iph, native.ivh)]


@pytest.mark.parametrize("places", ["{input_folder} {output_folder}", "{input} {output}"])
@pytest.mark.parametrize(
    "act",
    [
        "save(labels)",
        "image = nib.as_closest_canonical(nib.Nifti1Image(labels, affine));"
        "save(np.asarray(image.dataobj), image.affine)",
    ],
)
def test_the_programs_labels_become_the_scans_masks(scan, command, act, places):
    run_segment_scan(scan, "P1", "baseline", command(act, places), "cpu")
    ct, iph, ivh = found(scan)
    assert np.array_equal(iph, ct == 60) and np.array_equal(ivh, ct == 70)
    row = read_table(scan.segmentation("P1", "baseline")).iloc[0]
    assert row["iph_ml"] == pytest.approx(8 * VOXEL_ML) and row["method"] == "command"
    assert row["ivh_ml"] == pytest.approx(VOXEL_ML) and np.isnan(row["entropy_iph_ml"])
    assert row["note"] == "the program does not say how sure it is"


def test_it_reads_the_whole_scan_or_the_brain_alone(scan, command):
    dark = "save((hu < -500).astype(np.uint8))"
    run_segment_scan(scan, "P1", "baseline", command(dark), "cpu")
    row = read_table(scan.segmentation("P1", "baseline")).iloc[0]
    outside_ml = (np.prod(SHAPE) - 6 * 7 * 3) * VOXEL_ML
    assert row["iph_ml"] == 0 and f"{outside_ml:.2f} mL outside the brain mask" in row["note"]
    empty = "save((hu == 0).astype(np.uint8) * 4)"
    run_segment_scan(scan, "P1", "baseline", command(empty, scan="stripped"), "cpu")
    row = read_table(scan.segmentation("P1", "baseline")).iloc[0]
    assert row["ivh_ml"] == 0 and f"{outside_ml:.2f} mL outside" in row["note"]


def test_without_a_label_of_ivh_all_blood_is_iph(scan, command):
    act = "save((labels > 0).astype(np.uint8), name='bleed.nii.gz')"
    run_segment_scan(scan, "P1", "baseline", command(act, ivh=[], other=[]), "cpu")
    ct, iph, ivh = found(scan)
    assert np.array_equal(iph, ct >= 45) and not ivh.any()


def test_a_scan_without_a_bleed_is_told_in_one_sentence(scan, command, caplog):
    run_segment_scan(scan, "P1", "baseline", command("save(0 * labels)"), "cpu")
    row = read_table(scan.segmentation("P1", "baseline")).iloc[0]
    assert row["iph_ml"] == row["ivh_ml"] == 0 and not found(scan)[1].any()
    assert "P1, baseline: the program finds no IPH; look at the scan" in caplog.text
    assert row["note"].endswith("draw the mask or exclude the patient")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("sys.exit('out of memory')", "exit code 1; it said: .*loaded the weights.*"),
        ("print(*range(9), sep='\\n'); sys.exit(3)", "exit code 3; it said: 4 / 5 / 6 / 7 / 8;"),
        ("print('skipped')", "no label file.*it said: loaded the weights / skipped"),
        ("save(labels); save(labels, name='b.nii.gz')", r"b.nii.gz, scan.nii.gz where the progr"),
        ("(target / 'a.nii.gz').write_bytes(b'')", "file (of 0 bytes|that cannot)"),
        ("save(labels + 5 * (labels == 3).astype(np.uint8))", r"label\(s\) 8; expected 1, 3, 4 "),
        ("save(labels * 0.5)", r"label\(s\) 0.5, 1.5, 2; expected 1, 3, 4 \(segmentation.comm"),
        ("save(labels, np.diag([2, 2, 2, 1]))", r"shape \(8, 9, 5\), .* mm off the CT's grid"),
        ("affine[0, 3] += 0.2; save(labels)", r"\(8, 9, 5\), 0.2 mm off the CT's grid"),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence(scan, command, act, message):
    with pytest.raises(
        HemexpError, match=f"P1, baseline, segmentation.command: found .*{message}"
    ):
        run_segment_scan(scan, "P1", "baseline", command(act), "cpu")
    assert not scan.native("P1", "baseline").iph.exists()
    assert not scan.segmentation("P1", "baseline").exists()


def test_a_program_that_is_not_there_is_named(scan, command):
    lost = command("").model_copy(update={"command": "nowhere-ict {input} {output}"})
    with pytest.raises(HemexpError, match="a program nowhere-ict that cannot be run"):
        run_segment_scan(scan, "P1", "baseline", lost, "cpu")


def test_a_command_is_split_before_its_paths_come_in(tmp_path):
    folder = tmp_path / "with a space"
    words = fill_in("run 'my model' --in={input} {output_folder}", folder)
    assert words == ["run", "my model", f"--in={folder / 'in' / INPUT}", str(folder / "out")]


def test_a_label_has_one_meaning():
    with pytest.raises(ValueError, match="labels of their own"):
        CommandLabels(iph=[1, 2], ivh=[4], other=[2])
