"""From files to references: the push is fitted, pairs are encoded, samples find the same."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from results_folder import Grid, bleeds, save, write_scan
from safetensors.torch import load_file
from tiny_models import NOTHING, PUSH, WHOLE

from hemexp import HemexpError, prefetch
from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.push_fit import PRIOR_AMPLITUDE
from hemexp.anatomy.reference import Told
from hemexp.anatomy.reference_model import load_reference
from hemexp.autoencoder.network import MultiHeadVae, load_autoencoder
from hemexp.grid_scan import read_grid_scan
from hemexp.latents.encode import run_encode_patients
from hemexp.latents.push import load_push, load_texture, run_fit_push
from hemexp.latents.read import true_reference
from hemexp.latents.scale import load_scale, run_fit_scale
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.provenance import write_json
from hemexp.sampling.references import References
from hemexp.training import save_weights

GRID = Grid((24, 32, 9), (6.0, 5.5, 13.0))
GROWTHS_ML = {"T1": 14.0, "T2": 6.0, "T3": -2.0, "V1": 8.0}
BEFORE_ML, IVH_ML = 20.0, (3.0, 6.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def latents(settings):
    return settings.latents.model_copy(update={"batch_slices": 4, "moved": 1})


@pytest.fixture(scope="module")
def sheet():
    rows = [{"patient_id": p, "split": "val" if p[0] == "V" else "train"} for p in GROWTHS_ML]
    return pd.DataFrame(rows).set_index("patient_id", drop=False)


@pytest.fixture(scope="module")
def layout(tmp_path_factory, settings, sheet, latents):
    """Three training pairs whose bleeds grow while all else stays, and a pair for `val`."""
    layout = Layout(tmp_path_factory.mktemp("results"))
    for n, (name, growth_ml) in enumerate(GROWTHS_ML.items()):
        for session, more_ml, ivh_ml in zip(
            ("baseline", "followup"), (0, growth_ml), IVH_ML, strict=True
        ):
            volumes = BEFORE_ML + more_ml, ivh_ml
            rng = np.random.default_rng(n)
            write_scan(layout.root, GRID, name, session, *bleeds(GRID, *volumes), rng)
            native = pd.DataFrame([dict(zip(("iph_ml", "ivh_ml"), volumes, strict=True))])
            save(native, layout.native(name, session).volumes)
    torch.manual_seed(0)
    small = settings.autoencoder.model_copy(update={"channels": [8, 16]})
    network = layout.network("autoencoder")
    save_weights(network.weights, MultiHeadVae(small))
    write_json(network.model, {"settings": small.as_json()})
    training = sheet[sheet["split"] == "train"]
    run_fit_push(layout, training)
    run_encode_patients(layout, sheet, latents, 1, "cpu", references=True)
    run_fit_scale(layout, list(training.index), latents.reference)
    return layout


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_read_ahead_latents_have_the_same_bits_and_in_bf16_nearly(
    precision, layout, sheet, latents, tmp_path, monkeypatch
):
    elsewhere = Layout(tmp_path)
    for room in ("preprocess", "autoencoder"):
        (tmp_path / room).symlink_to(layout.root / room)
    elsewhere.push.parent.mkdir()
    elsewhere.push.symlink_to(layout.push)
    monkeypatch.setitem(prefetch.AHEAD, "cpu", 2)
    asked = latents.model_copy(update={"precision": precision})
    run_encode_patients(elsewhere, sheet, asked, 1, "cpu", references=True)
    for name in GROWTHS_ML:
        one, other = (load_file(where.latents(name)) for where in (layout, elsewhere))
        assert one.keys() == other.keys() and ("reference" in one) == (name[0] == "T")
        for key, part in one.items():
            assert other[key].dtype == part.dtype
            if precision == "fp32" or part.dim() < 5:
                assert torch.equal(part, other[key])
            else:
                error = (part - other[key]).square().mean().sqrt() / part.std()
                assert 1e-5 < error < 0.02


def test_the_push_is_fitted_to_the_training_pairs(layout):
    record = json.loads(layout.push.read_text())
    push = load_push(layout.push)
    assert push.as_json() == record["push"] and push.patients == 3
    assert 0 <= push.amplitude < 0.7 * PRIOR_AMPLITUDE  # no midline moved
    assert record["verb"] == "fit-push"
    assert {path.split("/")[-2] for path in record["inputs"]} == {"sub-T1", "sub-T2", "sub-T3"}


def test_the_scale_keeps_what_differences_are_relative_to(layout, latents, tmp_path):
    known = load_reference(layout.scale)
    assert known.kind == latents.reference == WHOLE
    assert known.push == load_push(layout.push)
    assert known.kept_texture == load_texture(layout.push)
    assert known.kept_texture == pytest.approx(1, abs=0.01)  # both scans have the same noise
    assert known.sink_per_mm2 == known.push.sink_per_mm2
    elsewhere = Layout(tmp_path)
    (tmp_path / "latents").mkdir()
    for name in GROWTHS_ML:
        source, target = layout.latents(name), elsewhere.latents(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    still = WHOLE.model_copy(update={"warp": False})
    elsewhere.push.symlink_to(layout.push)
    run_fit_scale(elsewhere, list(GROWTHS_ML)[:3], still)
    assert load_reference(elsewhere.scale) == (still, None, load_texture(layout.push))
    assert load_reference(elsewhere.scale).sink_per_mm2 == 0


def test_a_scale_of_an_older_version_is_refused(layout, tmp_path):
    record = json.loads(layout.scale.read_text())
    del record["reference"]
    (tmp_path / "scale.json").write_text(json.dumps(record))
    with pytest.raises(HemexpError, match="scale.json.*nothing about the reference.*Train again"):
        load_reference(tmp_path / "scale.json")


def told_of(layout, sheet, name, push):
    """What is told of a pair, from what `encode-patients` and `read_volumes` say of it."""
    volumes = read_volumes(layout, sheet.loc[[name]]).iloc[0]
    growth_ml = volumes["followup_iph_ml"] - volumes["baseline_iph_ml"]
    drift_mm = load_file(layout.latents(name))["drift_mm"][0].numpy()
    push_ml = float(push.push_ml(growth_ml, volumes["baseline_iph_ml"]))
    return Told(growth_ml, drift_mm, push_ml, IVH_ML[1] - IVH_ML[0])


def references_of(layout, name, told, latents, known):
    scan = read_grid_scan(layout, name, "baseline")
    prepared = prepare(scan.cut(scan.frame), known.kind, known.sink_per_mm2)
    baseline = load_file(layout.latents(name))["baseline"][0]
    vae = load_autoencoder(layout, CPU)
    return References(prepared, scan.frame, told, baseline, vae, latents.batch_slices)


@pytest.mark.parametrize("name", ["T1", "T3"])
def test_training_and_sampling_make_the_same_reference_of_the_same_told(
    layout, sheet, latents, name
):
    stored, known = load_file(layout.latents(name)), load_reference(layout.scale)
    told = told_of(layout, sheet, name, known.push)
    made = references_of(layout, name, (told, told._replace(growth_ml=3.0)), latents, known)
    scan, encoded = made.encoded(0)
    assert torch.equal(encoded, stored["reference"][0])
    assert not torch.allclose(encoded, stored["baseline"][0], atol=1e-3)
    assert not torch.allclose(made.encoded(1)[1], encoded, atol=1e-3)
    before = np.count_nonzero(read_grid_scan(layout, name, "baseline").iph)
    voxel_ml = np.prod(GRID.spacing_mm) / 1000
    assert (scan.iph.sum() - before) * voxel_ml == pytest.approx(GROWTHS_ML[name], abs=1e-3)


def test_only_training_pairs_have_a_reference_and_only_where_asked(
    layout, sheet, latents, tmp_path
):
    stored = {name: load_file(layout.latents(name)) for name in GROWTHS_ML}
    assert stored["T1"]["reference"].shape == stored["T1"]["baseline"].shape
    assert [name for name, one in stored.items() if "reference" in one] == ["T1", "T2", "T3"]
    (tmp_path / "preprocess").symlink_to(layout.root / "preprocess")
    elsewhere, one = Layout(tmp_path), sheet.loc[["T1"]]
    plain = latents.model_copy(update={"reference": NOTHING})
    for settings, asked in ((latents, False), (plain, True)):  # neither needs a push.json
        run_encode_patients(elsewhere, one, settings, 1, "cpu", layout, references=asked)
        found = load_file(elsewhere.latents("T1"))
        assert found.keys() == stored["T1"].keys() - {"reference"}
        assert torch.equal(found["baseline"], stored["T1"]["baseline"])


def test_the_baseline_itself_is_no_reference_of_its_own(layout, sheet, latents):
    """Neither cached nor encoded: every sample has the baseline's latents."""
    scans = {s: read_grid_scan(layout, "T1", s) for s in ("baseline", "followup")}
    told = Told(14.0, np.zeros(3), 5.0, 2.0)
    known = load_reference(layout.scale)._replace(kind=NOTHING, push=None)
    made = references_of(layout, "T1", (told, told), latents, known)
    (scan, one), (_, other) = made.encoded(0), made.encoded(1)
    scan = scan.spread(made.frame)
    assert one is other is made.baseline
    assert np.array_equal(scan.iph > 0.5, scans["baseline"].iph)
    volumes = read_volumes(layout, sheet.loc[["T1"]]).iloc[0]
    still = true_reference(scans, volumes, NOTHING, None)
    assert np.array_equal(still.ct_hu, scan.ct_hu)


def test_the_true_reference_is_told_what_truly_happened(layout, sheet):
    scans = {s: read_grid_scan(layout, "T1", s) for s in ("baseline", "followup")}
    volumes = read_volumes(layout, sheet.loc[["T1"]]).iloc[0]
    voxel_ml = np.prod(GRID.spacing_mm) / 1000
    before = scans["baseline"]
    made = true_reference(scans, volumes, WHOLE, PUSH)
    grown = made.iph.sum() - np.count_nonzero(before.iph)
    filled = made.ivh.sum() - np.count_nonzero(before.ivh & ~before.iph)
    assert grown * voxel_ml == pytest.approx(14.0, abs=1e-3)
    assert filled * voxel_ml == pytest.approx(3.0, abs=1e-3)
    still = true_reference(scans, volumes, WHOLE.model_copy(update={"warp": False}), None)
    far = before.brain & (made.iph + still.iph + made.ivh + still.ivh == 0)
    assert np.array_equal(still.ct_hu[far], before.ct.data[far])
    assert not np.allclose(made.ct_hu[far], still.ct_hu[far], atol=0.5)  # pushed
    assert load_scale(layout.scale).delta_sd
