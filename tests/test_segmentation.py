"""Masks by a network: crops, folds, training, windows, scores and the error to expect."""

import itertools
import json
import random
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

from hemexp import HemexpError
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.mask_error import FLOOR_ML, read_volume_errors
from hemexp.segmentation import train as training
from hemexp.segmentation.folds import fold_patients, masked_patients, training_patients
from hemexp.segmentation.infer import class_probabilities, entropy_bits, find_masks
from hemexp.segmentation.network import (
    IPH,
    IVH,
    Segmenter,
    TrainedSegmenter,
    centre,
    check_start,
    load_segmenter,
    model_input,
)
from hemexp.segmentation.patches import (
    HU_UNIT,
    cut_crop,
    draw_batch,
    draw_kinds,
    label_scan,
    load_scans,
    make_disturbances,
)
from hemexp.segmentation.score import (
    limits_of_agreement,
    run_score_segmentation,
    score_mask,
    summary_table,
)
from hemexp.segmentation.segment import row_of, run_crossfit_masks, run_segment_scan, turn_back
from hemexp.segmentation.volume_error import fit_volume_error
from hemexp.tables import read_table
from hemexp.training import Checkpoint
from hemexp.volumes import read_ras, read_volume, write_volume

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (20, 24, 7)
CROP = (12, 16, 4)
LPS = np.diag([-0.5, -0.6, 5.0, 1.0])


@pytest.fixture
def tiny(settings):
    """Settings of a training that takes a second."""
    small = {"width": 8, "blocks": [1, 1], "crop": CROP, "steps": 6, "checkpoint_every": 2}
    few = {"least_masked": 3, "batch_crops": 2, "accumulate": 2, "mirror": True}
    return settings.segmentation.model_copy(update=small | few)


def head(seed=0):
    """CT, IPH, IVH and brain of a scan whose HU say the label: 30, 60 and 70, outside 900."""
    generator = np.random.default_rng(seed)
    brain, iph, ivh = (np.zeros(SHAPE, dtype=bool) for _ in range(3))
    brain[2:19, 3:22, 1:6] = True
    x, y = generator.integers(4, 9, size=2)
    iph[x : x + 3, y : y + 4, 2:4] = True
    ivh[14:16, 15:18, 3:5] = True
    return np.select([iph, ivh, brain], [60, 70, 30], 900).astype(np.int16), iph, ivh, brain


def scans(n=3, crop=CROP):
    return [label_scan(*head(seed), crop) for seed in range(n)]


def write_head(layout, patient_id, seed=0):
    for session in SESSIONS:
        for path, data in zip(layout.native(patient_id, session).images, head(seed), strict=True):
            write_volume(path, data, LPS, data.dtype if data.dtype != bool else np.uint8)


class Pointwise(torch.nn.Module):
    """Judges every voxel by its HU alone: 60 is IPH, 70 IVH, 45 as likely IPH as not."""

    def forward(self, images):
        hu = HU_UNIT * images - 20
        iph = torch.where((hu - 45).abs() < 1, 0.0, torch.where((hu - 60).abs() < 5, 50.0, -50.0))
        ivh = torch.where((hu - 70).abs() < 5, 50.0, -50.0)
        return torch.cat([torch.zeros_like(images), iph, ivh], dim=1)


# Crops


def test_a_scan_keeps_its_brain_alone_in_the_networks_window():
    ct, iph, ivh, brain = head()
    ct[5, 5, 5], ct[6, 6, 5] = 300, -500
    scan = label_scan(ct, iph, ivh, brain, CROP)
    assert scan.image.shape == (17, 19, 5) and scan.shown == {0, IPH, IVH}
    assert scan.image[3, 2, 4] == 140 and scan.image[4, 3, 4] == 0
    assert set(np.unique(scan.image)) == {0, 50, 80, 90, 140}
    assert (scan.labels == IPH).sum() == iph.sum() and (scan.image[scan.labels == IVH] == 90).all()
    wide = label_scan(ct, iph, ivh, brain, (24, 16, 9))
    assert wide.image.shape == (24, 19, 9) and (wide.labels == IPH).sum() == iph.sum()
    assert model_input(ct, brain).max() == 7 and model_input(ct, brain)[0, 0, 0] == 0


@pytest.mark.parametrize("kind", [0, IPH, IVH])
def test_a_crop_holds_its_class_and_lies_in_the_scan(kind):
    scan, generator = scans(1)[0], np.random.default_rng(1)
    for _ in range(30):
        image, labels = cut_crop(scan, kind, CROP, generator)
        assert image.shape == labels.shape == CROP
        assert ((labels == kind) & (image > 0)).any()
        assert (image[labels == IPH] == 80).all() and (labels[image == 90] == IVH).all()


def test_without_the_class_a_crop_shows_brain():
    ct, iph, ivh, brain = head()
    scan = label_scan(ct, iph, 0 * ivh, brain, CROP)
    assert cut_crop(scan, IVH, CROP, np.random.default_rng(0))[0].any()


def test_blood_is_drawn_as_often_as_asked():
    kinds = draw_kinds(20000, 0.6, np.random.default_rng(0))
    assert np.bincount(kinds) / 20000 == pytest.approx([0.4, 0.3, 0.3], abs=0.015)


def test_a_batch_depends_on_its_parts_alone(tiny):
    known = scans()
    drawn = {parts: draw_batch(known, tiny, 1, *parts) for parts in [(0, 0), (0, 1), (1, 0)]}
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is meant
    torch.manual_seed(5)
    for parts in reversed(drawn):
        images, labels = draw_batch(known, tiny, 1, *parts)
        assert images.equal(drawn[parts][0]) and labels.equal(drawn[parts][1])
        assert images.shape == labels.shape == (2, 1, *CROP)
    for one, other in itertools.combinations(drawn, 2):
        assert not drawn[one][0].equal(drawn[other][0])
    assert not draw_batch(known, tiny, 2, 0, 0)[0].equal(drawn[0, 0][0])


def test_a_flip_takes_the_labels_along(tiny):
    still = tiny.model_copy(update={"augment_prob": 0.0, "crop": (20, 20, 5)})
    ct, iph, ivh, brain = head()
    scan = label_scan(ct, iph, ivh, brain, still.crop)
    flipped = set()
    for step in range(8):
        images, labels = draw_batch([scan], still, step)
        assert (images[labels == IPH] == 4).all() and (images[labels == IVH] == 4.5).all()
        assert (images[labels == 0] <= 2.5).all()
        same = [one[0].equal(torch.from_numpy(scan.labels).float()) for one in labels]
        mirrored = [one[0].flip(0).equal(torch.from_numpy(scan.labels).float()) for one in labels]
        assert all(a != b for a, b in zip(same, mirrored, strict=True))
        flipped |= set(same)
    assert flipped == {True, False}


def test_every_disturbance_keeps_blood_under_its_label_and_the_outside_empty(tiny):
    rough = tiny.model_copy(update={"augment_prob": 1.0, "batch_crops": 8, "crop": (20, 20, 5)})
    images, labels = draw_batch(scans(crop=rough.crop), rough, 3)
    assert images.min() >= 0 and images.max() <= 7 and torch.isfinite(images).all()
    assert (images[:, :, 0, 0] == 0).all() and set(labels.unique().tolist()) == {0, IPH, IVH}
    tissue = images[(labels == 0) & (images > 0)].mean()
    assert images[labels > 0].mean() > tissue + 0.8  # 30-40 HU apart, 1.5-2 of the input's units
    sizes = (labels > 0).sum(dim=(1, 2, 3, 4))
    assert sizes.unique().numel() > 2  # scaled


def test_what_disturbs_does_nothing_at_probability_0(tiny):
    given = {name: torch.rand(1, *CROP) for name in ("image", "labels", "brain")}
    made = make_disturbances(0.0)
    made.transforms = made.transforms[1:]  # all but the flip
    assert made(given)["image"].equal(given["image"])


# Network and windows


def test_a_slice_is_judged_with_its_neighbours_and_no_further(tiny):
    torch.manual_seed(0)
    network = Segmenter(tiny).eval()
    images = torch.rand(1, 1, 16, 12, 7)
    before = network(images)
    images[..., 3] += 1
    changed = (network(images) - before).abs().amax(dim=(0, 1, 2, 3)) > 1e-6
    assert before.shape == (1, 3, 16, 12, 7)
    assert changed.tolist() == [False, False, True, True, True, False, False]


def test_one_window_over_all_is_the_whole_scan(tiny):
    torch.manual_seed(0)
    network, image = Segmenter(tiny).eval(), torch.rand(12, 16, 7)
    plain = tiny.model_copy(update={"mirror": False})
    with torch.inference_mode():
        whole = network(image[None, None]).softmax(dim=1)[0]
        turned = network(image.flip(0)[None, None]).softmax(dim=1)[0].flip(1)
    assert torch.allclose(class_probabilities(network, image, plain), whole, atol=1e-6)
    both = class_probabilities(network, image, tiny)
    assert torch.allclose(both, (whole + turned) / 2, atol=1e-6)


def test_windows_and_mirror_images_put_every_voxel_in_its_place(tiny):
    ct, iph, ivh, brain = head()
    image = torch.from_numpy(model_input(ct, brain))
    for mirror in (False, True):
        settings = tiny.model_copy(update={"mirror": mirror})
        found = class_probabilities(Pointwise(), image, settings).argmax(dim=0).numpy()
        assert (found == np.select([iph, ivh], [IPH, IVH])).all()


def test_masks_stay_in_the_brain_and_volumes_and_doubt_are_measured(tiny):
    ct, iph, ivh, brain = head()
    ct[0, 0, 0] = 60  # blood outside the brain
    ct[17, 4:9, 5] = 45  # five voxels that might be IPH
    segmenter = SimpleNamespace(network=Pointwise(), settings=tiny)
    found = find_masks(segmenter, ct, brain, 0.002, torch.device("cpu"))
    assert found.labels.shape == SHAPE and found.labels.dtype == np.uint8
    assert (found.labels == np.select([iph, ivh], [IPH, IVH])).all()
    assert found.iph_ml == pytest.approx(iph.sum() * 0.002)
    assert found.ivh_ml == pytest.approx(ivh.sum() * 0.002)
    assert found.entropy_iph_ml == pytest.approx(5 * 0.002, rel=1e-3)
    assert found.entropy_ivh_ml == pytest.approx(0, abs=1e-6)
    assert entropy_bits(np.array([0, 0.25, 0.5, 1])) == pytest.approx([0, 0.8113, 1, 0], abs=1e-4)


def test_nothing_is_found_outside_the_brain(tiny):
    ct, _, _, brain = head()
    brain[8, 9, 3] = False

    def all_blood(images):
        return torch.tensor([0.0, 9, 0]).view(1, 3, 1, 1, 1) + 0 * images

    segmenter = SimpleNamespace(network=all_blood, settings=tiny)
    found = find_masks(segmenter, ct, brain, 0.001, torch.device("cpu"))
    assert (found.labels == IPH * brain).all()


@pytest.mark.parametrize("signs", [*itertools.product([1, -1], repeat=3)])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
def test_masks_go_back_along_the_axes_of_the_file(signs, axes, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([0.5, 0.6, 5])[:, axes] * signs
    data = np.arange(24).reshape(2, 3, 4)
    write_volume(tmp_path / "a.nii.gz", data, affine, np.int16)
    assert (turn_back(read_ras(tmp_path / "a.nii.gz").data, affine) == data).all()


# Training


def trained(tiny, folder, seed=1):
    run = tiny.as_json() | {"seed": seed}
    with mock.patch.object(training, "LOG_EVERY", 1):
        network, history = training.train(
            scans(), tiny, seed, Checkpoint(folder / "last.ckpt", run)
        )
    return network.state_dict(), history


def test_stopped_and_resumed_it_ends_the_same_to_the_bit(tiny, tmp_path, monkeypatch):
    whole, curve = trained(tiny, tmp_path / "whole")
    draw = training.draw_batch

    def stopping(known, settings, seed, step, part):
        if step == 3:
            raise KeyboardInterrupt
        return draw(known, settings, seed, step, part)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training, "draw_batch", stopping)
        trained(tiny, tmp_path)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 2
    again, resumed = trained(tiny, tmp_path)
    assert resumed == curve and len(curve) == 6
    assert all(value.equal(again[name]) for name, value in whole.items())
    assert not all(
        value.equal(trained(tiny, tmp_path / "b", 2)[0][n]) for n, value in whole.items()
    )


def test_brain_is_near_0_and_clots_stand_out():
    images = torch.tensor([0.0, 53, 72, 82, 48]) / HU_UNIT  # outside, 33, 52, 62 and 28 HU
    assert centre(images).tolist() == pytest.approx([-5.3, 0, 1.9, 2.9, -0.5], abs=1e-5)


def test_a_training_starts_where_another_one_ended(tiny, tmp_path):
    still = tiny.model_copy(update={"steps": 1, "learning_rate": 1e-9, "ema_decay": 0.0})
    torch.manual_seed(7)
    start = Segmenter(still)
    network, _ = training.train(scans(), still, 1, Checkpoint(tmp_path / "c", {}), start=start)
    for name, value in network.state_dict().items():
        assert torch.allclose(value, start.state_dict()[name], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "left_out", "message"),
    [
        ({"width": 16}, [], "width 8, .*expected one with .*width 16, .*network's values"),
        ({}, ["P0", "P2"], "start_from: found a network that was trained on P2; expected"),
    ],
)
def test_a_start_of_another_shape_or_that_knows_the_fold_is_refused(
    tiny, change, left_out, message
):
    start = TrainedSegmenter(Segmenter(tiny), tiny, frozenset(["P1", "P2"]), "hash")
    check_start(start, tiny, ["P0"])
    with pytest.raises(HemexpError, match=message):
        check_start(start, tiny.model_copy(update=change), left_out)


def test_it_learns(tiny, tmp_path):
    quick = {"learning_rate": 0.01, "augment_prob": 0.0, "iph_weight": 5, "ivh_weight": 10}
    longer = tiny.model_copy(update={"steps": 140} | quick)
    network, _ = training.train(scans(), longer, 1, Checkpoint(tmp_path / "c", {}))
    ct, iph, ivh, brain = head(7)
    segmenter = SimpleNamespace(network=network.eval(), settings=longer)
    found = find_masks(segmenter, ct, brain, 0.001, torch.device("cpu"))
    assert score_mask(iph, found.labels == IPH, 0.001)["dice"] > 0.8
    assert score_mask(ivh, found.labels == IVH, 0.001)["dice"] > 0.3  # of twelve voxels


# Folds


def test_folds_part_the_patients():
    masked = ["B2", "A1", "A3", "B1", "A2"]
    parts = [fold_patients(masked, fold, 2) for fold in range(2)]
    assert parts == [["A1", "A3", "B2"], ["A2", "B1"]]
    assert training_patients(masked, 0, 2) == parts[1]
    assert training_patients(masked, None, 2) == sorted(masked)


def test_masked_is_who_has_the_masks_of_both_scans():
    row = dict.fromkeys(["baseline_iph", "baseline_ivh", "followup_iph", "followup_ivh"], "x.nii")
    rows = {"P2": row, "P1": row | {"followup_ivh": "none"}, "P3": row | {"followup_iph": ""}}
    assert masked_patients(pd.DataFrame.from_dict(rows, orient="index")) == ["P1", "P2"]


def test_too_few_masks_are_refused_with_what_to_do(tiny, tmp_path):
    demanding = tiny.model_copy(update={"least_masked": 5})
    message = "2 patients of split `train`.*expected 5 or more.*Draw the masks of 3 more"
    with pytest.raises(HemexpError, match=message):
        training.run_train_segmentation(Layout(tmp_path), ["A", "B"], None, demanding, 1, "cpu")


@pytest.fixture
def crossfitted(tiny, tmp_path, monkeypatch):
    """Results of four patients whose two folds were trained, and the scans each training read."""
    layout, read = Layout(tmp_path), []
    masked = ["P1", "P2", "P3", "P4"]
    for seed, patient_id in enumerate(masked):
        write_head(layout, patient_id, seed)

    def reading(layout, wanted, crop):
        read.append(wanted)
        return load_scans(layout, wanted, crop)

    monkeypatch.setattr(training, "load_scans", reading)
    for fold in (0, 1, None):
        training.run_train_segmentation(layout, masked, fold, tiny, 1, "cpu")
    return layout, masked, read


def test_a_fold_leaks_nothing_and_its_masks_are_scored(crossfitted, caplog):
    layout, masked, read = crossfitted
    seen = [{patient_id for patient_id, _ in wanted} for wanted in read]
    assert seen == [{"P2", "P4"}, {"P1", "P3"}, set(masked)]
    assert all(len(wanted) == 2 * len(ids) for wanted, ids in zip(read, seen, strict=True))
    for fold in (0, 1, None):
        record = json.loads(layout.segmenter(fold).model.read_text())
        assert record["patients"] == sorted(seen[2 if fold is None else fold])
        files = {name.split("_")[0] for name in record["inputs"]}
        assert files == {f"sub-{p}/sub-{p}" for p in record["patients"]}
        assert not layout.segmenter(fold).checkpoint.exists()
    with pytest.raises(HemexpError, match="P1, --fold 1: found a network that was trained on"):
        run_crossfit_masks(layout, ["P0", "P1"], 1, "cpu")
    for fold in (0, 1):
        run_crossfit_masks(layout, masked, fold, "cpu")
    labels = read_volume(layout.crossfit_scan("P1", "baseline"))
    told = read_table(layout.crossfit_fold(0)).iloc[0]
    assert read_table(layout.crossfit_fold(1))["patient_id"].tolist() == ["P2", "P2", "P4", "P4"]
    native = read_volume(layout.native("P1", "baseline").ct)
    assert labels.data.shape == SHAPE and (labels.affine == native.affine).all()
    assert told["iph_ml"] == pytest.approx((labels.data == IPH).sum() * labels.voxel_ml, abs=1e-6)
    assert told["network"] == load_segmenter(layout, 0, torch.device("cpu")).hash

    run_score_segmentation(layout, pd.Series({p: "X" for p in masked}), folds=2)
    table = read_table(layout.crossfit)
    assert len(table) == 16 and table["given_ml"].min() > 0
    first = table.iloc[0]
    given = read_volume(layout.native("P1", "baseline").iph)
    assert first["given_ml"] == pytest.approx(given.data.sum() * given.voxel_ml)
    assert first["error_ml"] == pytest.approx(told["iph_ml"] - first["given_ml"], abs=1e-6)
    assert len(read_table(layout.crossfit_summary)) == 4
    assert read_volume_errors(layout)["iph"].scans == 8


def test_the_network_of_all_writes_masks_where_given_ones_would_lie(crossfitted, tiny):
    layout, *_ = crossfitted
    native = layout.native("N1", "baseline")
    for path, source in zip(native.images, layout.native("P1", "baseline").images, strict=True):
        if path in (native.ct, native.brain):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    run_segment_scan(layout, "N1", "baseline", tiny, "cpu")
    run_segment_scan(layout, "N1", "baseline", tiny, "cpu")  # its own masks it may write again
    told = read_table(layout.segmentation("N1", "baseline")).iloc[0]
    for mask in ("iph", "ivh"):
        found = read_volume(getattr(native, mask))
        assert set(np.unique(found.data)) <= {0, 1}
        assert told[f"{mask}_ml"] == pytest.approx(found.data.sum() * found.voxel_ml, abs=1e-5)
    sidecar = native.iph.with_name(native.iph.name.replace(".nii.gz", ".json"))
    sidecar.write_text(json.dumps({"verb": "strip-skull"}))
    with pytest.raises(HemexpError, match="N1, baseline.*a mask that `strip-skull` wrote"):
        run_segment_scan(layout, "N1", "baseline", tiny, "cpu")


def test_an_empty_prediction_is_told_in_one_sentence(caplog):
    found = SimpleNamespace(iph_ml=0.0, _asdict=lambda: {"labels": 0, "iph_ml": 0.0})
    row = row_of("P7", "followup", found, "hash")
    assert row["note"].startswith("patient P7, followup: the network finds no IPH")
    assert caplog.messages == [row["note"]] and "labels" not in row


# Scores


def mask_of(*voxels):
    mask = np.zeros(20, dtype=bool)
    mask[list(voxels)] = True
    return mask


def test_a_mask_is_scored():
    row = score_mask(mask_of(0, 1, 2, 3), mask_of(2, 3, 4), 0.5)
    assert (row["given_ml"], row["found_ml"], row["error_ml"]) == (2.0, 1.5, -0.5)
    assert row["dice"] == pytest.approx(4 / 7)
    assert (row["missed"], row["false"], row["note"]) == (0, 0, "")


def test_missed_and_invented_bleeds_count_from_1_ml():
    nothing, two, one = mask_of(), mask_of(5, 6), mask_of(5)
    assert score_mask(two, nothing, 0.5)["missed"] == 1
    assert score_mask(two, mask_of(9), 0.5)["missed"] == 1  # found elsewhere
    assert score_mask(one, nothing, 0.5)["missed"] == 0
    invented = score_mask(nothing, two, 0.5)
    assert invented["false"] == 1 and np.isnan(invented["dice"]) and invented["note"]
    assert score_mask(nothing, one, 0.5)["false"] == score_mask(one, two, 0.5)["false"] == 0


def test_limits_of_agreement_and_the_summary():
    assert limits_of_agreement([1, 2, 3]) == pytest.approx((2, 0.04, 3.96))
    assert np.isnan(limits_of_agreement([1])).all()
    given, found = [10, 20, 0, 2], [11, 18, 3, 0]
    rows = [
        {"center": c, "mask": "iph", "given_ml": g, "found_ml": f, "error_ml": f - g}
        | {"dice": d, "missed": f == 0, "false": g == 0}
        for c, g, f, d in zip("AAAB", given, found, [0.9, 0.8, np.nan, 0.0], strict=True)
    ]
    table = summary_table(pd.DataFrame(rows)).set_index(["center", "mask"])
    everyone = table.loc["all", "iph"]
    assert everyone["dice"] == pytest.approx(1.7 / 3)
    assert everyone["bias_ml"] == pytest.approx(-1) and everyone["bias_percent"] == 0
    assert everyone["upper_percent"] == pytest.approx(1.96 * np.sqrt(200))
    assert everyone[["scans", "with_blood", "large", "bleeds"]].tolist() == [4, 3, 2, 3]
    assert everyone[["missed", "without_blood", "false"]].tolist() == [1, 1, 1]
    assert "fewer than two scans with blood" in table.loc[("B", "iph"), "note"]
    assert [*table.index.get_level_values("center").unique()] == ["A", "B", "all"]


# The error to expect


def test_the_model_of_the_error_finds_the_law_that_made_it():
    generator = np.random.default_rng(0)
    volume, entropy = np.exp(generator.normal([[2], [0]], 1, size=(2, 4000)))
    sd = 0.3 * (volume + 0.1) ** 0.5 * (entropy + 0.1) ** 0.8
    model = fit_volume_error(volume, entropy, sd * generator.normal(size=4000))
    assert model.volume_slope == pytest.approx(0.5, abs=0.05)
    assert model.entropy_slope == pytest.approx(0.8, abs=0.05)
    assert model.expected_error_ml(20.0, 2.0) == pytest.approx(0.3 * 20.1**0.5 * 2.1**0.8, rel=0.1)


def test_the_expected_error_has_a_floor_and_a_shape():
    model = fit_volume_error([0.0, 0, 0, 0], [0.0, 0.1, 0, 0.1], [0.0, 0, 0, 0])
    assert model.expected_error_ml([0, 0], [0, 0]) == pytest.approx([FLOOR_ML, FLOOR_ML])
    biased = fit_volume_error([10.0] * 50, [1.0] * 50, [2.0] * 50)
    assert biased.expected_error_ml(10.0, 1.0) == pytest.approx(2, rel=1e-3)
