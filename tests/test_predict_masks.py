"""One patient without masks: found by the released network or a program, and said on the page."""

import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_bundle import TINY, save_models
from tiny_head import write_head
from tiny_models import ERROR, save_segmenter

from hemexp import HemexpError
from hemexp.config import load_settings
from hemexp.desk.predict import NewPatient, mask_faults, run_predict
from hemexp.layout import Layout
from hemexp.release.bundle import run_export_bundle
from hemexp.release.models import read_recipe, recipe_of
from hemexp.reporting.slices import View, outline
from hemexp.segmentation import segment
from hemexp.segmentation.infer import FoundMasks
from hemexp.segmentation.network import IPH, IVH
from hemexp.tables import read_table
from hemexp.volumes import read_ras, read_volume

pytestmark = pytest.mark.usefixtures("one_thread")

LARGER = TINY | {"preprocess": {"grid": {"shape": [16, 24, 6], "spacing_mm": [9, 7, 20]}}}
"""The tiny head fits."""

VALUES = dict.fromkeys(("anticoagulant", "antiplatelet", "age", "gcs", "sbp")) | {
    "onset_to_ct_h": 2.0
}
PROGRAM = """\
import sys
import nibabel as nib
import numpy as np
image = nib.load(sys.argv[1])
given = [np.asarray(nib.load(path).dataobj) for path in sys.argv[3:]]
nib.save(nib.Nifti1Image((given[0] + 5 * given[1]).astype(np.uint8), image.affine), sys.argv[2])
"""


@pytest.fixture(scope="module")
def settings():
    return load_settings(LARGER)


@pytest.fixture(scope="module")
def plain(settings, tmp_path_factory):
    """A bundle without a network that makes masks."""
    root, out = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("release")
    save_models(root, settings)
    run_export_bundle(Layout(root), out / "plain", settings)
    save_segmenter(Layout(root), settings.segmentation, ["A01"])
    run_export_bundle(Layout(root), out / "finds", settings)
    return out / "plain"


@pytest.fixture(scope="module")
def finds(plain):
    """The same bundle with one."""
    return plain.parent / "finds"


@pytest.fixture
def raw(tmp_path):
    return write_head(tmp_path)


def patient(**images):
    return NewPatient("P7", dict.fromkeys(("ct", "iph", "ivh", "brain")) | images, VALUES)


def by_command(settings, tmp_path, raw):
    """Settings of a program that copies masks."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = f"{sys.executable} {script} {{input}} {{output}} {raw['iph']} {raw['ivh']}"
    labels = {"iph": [1], "ivh": [5], "other": []}
    return load_settings(
        LARGER
        | {"segmentation": {"method": "command", "command": command, "command_labels": labels}}
    )


def masks(out):
    native = Layout(out).native("P7", "baseline")
    return [read_volume(path).data > 0 for path in (native.iph, native.ivh)]


def test_the_released_network_finds_the_masks_and_the_page_says_so(
    finds, raw, tmp_path, monkeypatch
):
    truth = [read_ras(raw[name]).data > 0 for name in ("iph", "ivh")]

    def found(segmenter, ct_hu, brain, voxel_ml, device):
        assert segmenter.settings.width == 16 and not segmenter.patients
        volumes = (mask.sum() * voxel_ml for mask in truth)
        return FoundMasks(np.select(truth, [IPH, IVH]).astype(np.uint8), *volumes, 2.0, 0.5)

    monkeypatch.setattr(segment, "find_masks", found)
    out = tmp_path / "out"
    page = run_predict(patient(ct=raw["ct"]), finds, read_recipe(finds), out, 1, "cpu")
    assert all(
        np.array_equal(mask, read_volume(raw[name]).data > 0)
        for mask, name in zip(masks(out), ("iph", "ivh"), strict=True)
    )
    iph_ml = float(read_table(Layout(out).native("P7", "baseline").volumes)["iph_ml"].iloc[0])
    words = re.search(
        r"Found by a network.*?IPH of ([\d.]+) mL.*?off by ([\d.]+) mL", page.read_text()
    )
    assert float(words[1]) == pytest.approx(iph_ml, abs=0.06)
    expected_ml = float(ERROR.expected_error_ml(iph_ml, 2.0))
    assert float(words[2]) == pytest.approx(expected_ml, abs=0.06) and expected_ml > 1
    volumes = pd.read_csv(Layout(out).sample_volumes("P7"), sep="\t")
    assert len(volumes) == 2 and (volumes["iph_ml"] > 0).all()


def test_a_program_of_the_config_finds_them(plain, raw, settings, tmp_path):
    recipe = recipe_of(by_command(settings, tmp_path, raw))
    page = run_predict(patient(ct=raw["ct"]), plain, recipe, tmp_path / "out", 1, "cpu")
    assert masks(tmp_path / "out")[0].sum() == (read_volume(raw["iph"]).data > 0).sum()
    assert "Found by a program of your own" in page.read_text()
    assert "assumed: held against no given mask" in page.read_text()


def test_given_masks_are_used_as_before(finds, raw, tmp_path):
    page = run_predict(patient(**raw), finds, read_recipe(finds), tmp_path / "out", 1, "cpu")
    assert "Nobody drew" not in page.read_text()
    assert not Layout(tmp_path / "out").error_model.exists()


def test_no_record_of_released_models_names_a_program_to_run(finds, tmp_path):
    bundle = shutil.copytree(finds, tmp_path / "bundle")
    record = bundle / "models" / "segmentation" / "model.json"
    known = json.loads(record.read_text())
    theirs = {"method": "command", "command": "rm {input} {output}"}
    record.write_text(json.dumps(known | {"settings": known["settings"] | theirs}))
    settings = read_recipe(bundle).segmentation
    assert (settings.method, settings.command) == ("network", None)
    assert settings == read_recipe(finds).segmentation


def test_without_anything_that_finds_them_it_is_one_sentence(
    plain, finds, raw, settings, tmp_path
):
    with pytest.raises(HemexpError, match="--baseline-iph: found no mask, and no network in"):
        run_predict(patient(ct=raw["ct"]), plain, read_recipe(plain), tmp_path / "out", 1, "cpu")
    assert not (tmp_path / "out").exists()
    (fault,) = mask_faults(patient(ct=raw["ct"], ivh=raw["ivh"]), finds, read_recipe(finds))
    assert fault.found == "nothing beside an IVH mask"
    assert mask_faults(patient(ct=raw["ct"]), finds, read_recipe(finds)) == []
    provided = settings.segmentation.model_copy(update={"method": "provided"})
    own = recipe_of(settings.model_copy(update={"segmentation": provided}))
    (fault,) = mask_faults(patient(ct=raw["ct"]), finds, own)
    assert "method is 'provided'" in fault.found


def test_the_outline_of_a_found_mask_is_dashed():
    mask = np.zeros((6, 6, 1))
    mask[2:4, 2:4] = 1
    view = View(slice(0, 6), slice(0, 6), 0, 1.0)
    axes = Figure().subplots()
    for style in ("solid", "dashed"):
        outline(axes, mask, view, "red", style=style)
    (_, solid), (_, dashed) = (lines.get_linestyles()[0] for lines in axes.collections)
    assert solid is None and len(dashed) == 2
