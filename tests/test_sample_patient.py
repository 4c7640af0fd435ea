"""One patient from what is told to finished samples: the same for any K, the network or not."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from results_folder import Grid, bleeds, head_ct
from test_diffusion import wake
from tiny_models import BASELINE, IVH, PUSH, WHOLE

from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule
from hemexp.expansion.model import ExpansionModel, Linear, patient_distribution
from hemexp.expansion.predictors import IVH_COLUMNS
from hemexp.grid_scan import GridScan
from hemexp.latents.encode import encode_images
from hemexp.latents.read import reference_images
from hemexp.latents.scale import Scale
from hemexp.layout import Layout
from hemexp.release.forecast import encode_baseline
from hemexp.sampling import references, sample
from hemexp.sampling.draw import draw_patient_followups
from hemexp.sampling.finishing import Decoder, Finishing, level_of
from hemexp.sampling.models import Models, Sampler
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import at_baseline
from hemexp.sampling.references import NO_MORE, Level
from hemexp.sampling.requests import spread_evenly
from hemexp.sampling.run import sample_patient
from hemexp.sampling.sample import LatentSampler
from hemexp.sampling.what_if import add_up, answer, change_patient
from hemexp.sampling.workers import Workers, taking_turns
from hemexp.volumes import Volume, read_volume

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = Grid((16, 24, 9), (9.0, 7.5, 13.0))
VOXEL_ML = float(np.prod(GRID.spacing_mm)) / 1000
VOLUMES = {"baseline_iph_ml": 31.0, "baseline_ivh_ml": 6.0}
UNKNOWN = dict.fromkeys(["followup_iph_ml", "followup_ivh_ml"], np.nan)


@pytest.fixture(scope="module")
def models(settings):
    """Untrained small networks, and models of growth that ask for much."""
    torch.manual_seed(0)
    small = {"channels": [8, 16]}
    vae = MultiHeadVae(settings.autoencoder.model_copy(update=small)).eval()
    diffusion = settings.diffusion.model_copy(update=small)
    c = settings.autoencoder.latent_channels
    network = Denoiser(diffusion, c, GRID.shape[2], reference=True, ivh=True).eval()
    wake(network)
    denoiser = DiffusionModel(
        network,
        diffusion,
        Schedule("cosine", -2, -6, 4),
        1,
        DriftModel([[0.1] * 3] * 4, [[0.5, -0.2, 0.3], [-0.4, 0.1, 0.2]]),
        Scale([0.0] * c, [1.0] * c, [0.0] * c, [0.2] * c),
        ReferenceModel(WHOLE, PUSH, kept_texture=0.4),
    )
    of_volume = Linear(("ln_iph_ml",), (3.0,), (0.7,), (0.3,), 2.0)
    growth = ExpansionModel("made up", of_volume, of_volume, 0.4, (-0.4, 0.1, 1.5), 0.2)
    return Models(vae, denoiser, growth, IVH)


@pytest.fixture(scope="module")
def make_patient(models):
    iph, ivh = bleeds(GRID, *VOLUMES.values())
    brain, rng = GRID.brain(), np.random.default_rng(0)
    ct = Volume(head_ct(GRID, brain, iph, ivh, rng).astype(np.float32), GRID.affine)
    scan = GridScan(ct, iph, ivh, brain)
    encoded = encode_baseline(models.autoencoder, scan, GRID.shape[2])
    clinical = {"onset_to_ct_h": 2.0, "age": 70.0, "gcs": 13.0, "sbp": 160.0}
    clinical |= {"anticoagulant": 1.0, "antiplatelet": np.nan}
    seen = dict.fromkeys(IVH_COLUMNS, 5.0) | VOLUMES | UNKNOWN

    def make(patient_id="P1", **known):
        row = pd.Series({"patient_id": patient_id} | clinical | seen | known)
        return at_baseline(row, scan, encoded)

    return make


@pytest.fixture(scope="module")
def draw(settings, models, make_patient):
    """Finished samples of a patient, on the whole grid if wanted, and what was asked."""

    def drawn(count=2, patient=None, seed=1, models=models, spread=True, threads=0, **update):
        asked_for = {"samples": count, "evaluations": 3, "batch_slices": 2 * GRID.shape[2]}
        sampling = settings.sampling.model_copy(update=asked_for | update)
        sampler = Sampler(models, sampling, seed)
        with Workers(threads) as workers:
            finished, asked = draw_patient_followups(sampler, patient or make_patient(), workers)
            drawn = list(finished)
        if spread:
            whole = asked.references.frame.spread
            drawn = [
                one._replace(ct_hu=whole(one.ct_hu), labels=whole(one.labels)) for one in drawn
            ]
        return drawn, asked

    return drawn


def same(one, other):
    return (
        np.array_equal(one.ct_hu, other.ct_hu)
        and np.array_equal(one.labels, other.labels)
        and one.measured == other.measured
    )


def test_sample_k_depends_on_seed_patient_and_k_alone_even_if_drawn_again(draw, make_patient):
    """What is told of it and a second try included; an untrained network has to try again."""
    (two, asked_two), (five, asked_five) = draw(2), draw(5)
    assert any(one.measured["redrawn"] for one in two)
    for k in range(2):
        assert same(two[k], five[k])
        for mine, its in zip(asked_two.told[k], asked_five.told[k], strict=True):
            assert np.array_equal(mine, its)
    assert len({one.growth_ml for one in asked_five.told}) == 5
    assert len({tuple(one.drift_mm) for one in asked_five.told}) == 5
    for other, asked in (draw(2, seed=2), draw(2, make_patient("P2"))):
        for k in range(2):
            assert not np.array_equal(other[k].ct_hu, two[k].ct_hu)
            assert asked.told[k].growth_ml != asked_two.told[k].growth_ml
            assert asked.told[k].push_ml != asked_two.told[k].push_ml


def test_threads_change_no_bit_and_no_order(draw):
    """Five samples are three batches, some of them drawn again."""
    plain, _ = draw(5)
    threaded, asked = draw(5, threads=3)
    assert all(same(*both) for both in zip(plain, threaded, strict=True))
    assert len({one.ct_hu.sum() for one in plain}) == 5
    assert not asked.references._begun  # nothing made ahead is left over


def test_on_a_gpu_slices_of_one_thread_at_a_time_are_encoded_or_decoded(draw, monkeypatch):
    """Else a job of many threads would need a larger card."""
    inside, most = [], []

    def watched(act):
        def acting(*args):
            inside.append(act)
            most.append(len(inside))
            time.sleep(0.005)
            done = act(*args)
            inside.pop()
            return done

        return acting

    for name in ("encode", "decode"):
        monkeypatch.setattr(MultiHeadVae, name, watched(getattr(MultiHeadVae, name)))
    for module in (references, sample):
        monkeypatch.setattr(module, "taking_turns", lambda _: taking_turns(torch.device("cuda")))
    draw(5, threads=3)
    assert len(most) > 10 and max(most) == 1


def test_an_error_in_a_thread_ends_the_job_and_says_of_whom(draw, monkeypatch):
    def fail(*_):
        raise ValueError("broken")

    monkeypatch.setattr("hemexp.sampling.finishing.finish_sample", fail)
    for threads in (0, 2):
        with pytest.raises(ValueError, match="broken") as raised:
            draw(5, threads=threads)
        assert raised.value.__notes__ == ["patient P1, sample 0: could not be finished"]


def test_no_more_than_two_batches_wait_to_be_finished(draw, monkeypatch):
    """Memory is flat in K."""
    waiting, most = set(), []
    draw_batch, call = LatentSampler.draw, Finishing.__call__

    def watched(self, numbers, before=None):
        waiting.update(numbers)
        most.append(len(waiting))
        return draw_batch(self, numbers, before)

    def done(self, drawn, k):
        sample = call(self, drawn, k)
        waiting.discard(k)
        return sample

    monkeypatch.setattr(LatentSampler, "draw", watched)
    monkeypatch.setattr(Finishing, "__call__", done)
    draw(8, threads=1)
    assert len(most) >= 4 and max(most) <= 3 * 2


def test_only_what_disagrees_is_drawn_again_and_then_from_other_noise(draw, monkeypatch):
    first, _ = draw(3, finish=False)  # nothing is drawn again without the finish
    assert not any(one.measured["redrawn"] for one in first)
    again, _ = draw(3)
    for one, other in zip(first, again, strict=True):
        redrawn = other.measured["redrawn"]
        assert redrawn == one.measured["disagrees"]
        raw = [sample.measured["iph_raw_ml"] for sample in (one, other)]
        assert (raw[0] != raw[1]) == redrawn
    monkeypatch.setattr("hemexp.sampling.finish.LARGEST_MISS_ML", np.inf)
    monkeypatch.setattr("hemexp.sampling.finish.LARGEST_PAINTED", 1.0)
    content, _ = draw(3)
    assert not any(one.measured["redrawn"] for one in content)


def test_a_finished_sample_has_the_volumes_that_it_was_told(draw):
    drawn, asked = draw(4)
    for one, told in zip(drawn, asked.told, strict=True):
        wanted = VOLUMES["baseline_iph_ml"] + told.growth_ml
        assert one.measured["iph_ml"] == pytest.approx(wanted, abs=VOXEL_ML / 2 + 1e-6)
        assert np.isfinite(one.ct_hu).all()


def test_a_miss_is_made_up_by_the_shell_and_the_remainder_stays(
    draw, models, settings, monkeypatch
):
    drawn, asked = draw(3)
    moved = [one.measured["relevelled_ml"] for one in drawn]
    raw = [one.measured["iph_raw_ml"] - VOLUMES["baseline_iph_ml"] for one in drawn]
    for k, one in enumerate(drawn):
        assert moved[k] == pytest.approx(asked.told[k].growth_ml - raw[k])
        assert abs(moved[k]) > 0.3 and one.measured["iph_raw_ml"] >= 0
    first = next(iter(asked.latents.stream()))
    more = asked.latents.relevel(first, 0, Level(5 * VOXEL_ML, 0.0))
    assert torch.allclose(
        more.latents - more.reference, first.latents - first.reference, atol=1e-5
    )
    assert more.scan.iph.sum() - first.scan.iph.sum() == pytest.approx(5, abs=0.01)
    references = asked.latents.start.references
    whole = reference_images(more.scan.spread(references.frame))
    whole = encode_images(references.vae, whole, references.batch_slices)
    assert torch.allclose(more.reference, whole, atol=1e-5)
    moved = more.moved_from(first)
    assert 0 < moved.sum() < len(moved)
    decode = Decoder(Sampler(models, settings.sampling, 1))
    for one, other in zip(decode(more), decode.again(decode(first), first, more), strict=True):
        for part in ("ct_hu", "iph_logit", "ivh_logit"):
            assert np.allclose(getattr(one, part), getattr(other, part), atol=1e-4)
    fuller = asked.latents.relevel(first, 0, Level(0.0, 3 * VOXEL_ML)).scan
    assert fuller.ivh.sum() - first.scan.ivh.sum() == pytest.approx(3, abs=0.01)
    assert np.array_equal(fuller.iph, first.scan.iph)
    stays = asked.latents.relevel(first, 0, NO_MORE)
    assert not stays.moved_from(first).any() and torch.equal(stays.latents, first.latents)
    decode.again(decode(first), first, stays)
    monkeypatch.setattr("hemexp.sampling.finishing.LEAST_MISS_ML", np.inf)
    still, _ = draw(3)
    assert [one.measured["relevelled_ml"] for one in still] == [0.0] * 3


def test_only_large_misses_of_what_was_told_and_grows_are_made_up(draw):
    made = draw(1)[1].latents.start.references
    assert level_of((0.31, -0.5), made) == (0.31, -0.5)
    assert level_of((0.29, np.nan), made) == NO_MORE
    kind = made.prepared.kind.model_copy(update={"ivh": False})
    dry = replace(made, prepared=replace(made.prepared, kind=kind))
    assert level_of((1.0, 2.0), dry) == (1.0, 0.0)


def test_without_a_network_and_a_finish_a_sample_is_its_reference(draw):
    drawn, asked = draw(3, network=False, finish=False)
    for k, one in enumerate(drawn):
        reference = asked.references.scan(k).spread(asked.references.frame)
        assert np.array_equal(one.ct_hu, reference.ct_hu)
        iph = reference.iph > 0.5
        assert np.array_equal(one.labels == 1, iph)
        assert np.array_equal(one.labels == 2, (reference.ivh > 0.5) & ~iph)
        wanted = VOLUMES["baseline_iph_ml"] + asked.told[k].growth_ml
        assert one.measured["iph_ml"] == pytest.approx(wanted, abs=3 * VOXEL_ML)
    assert not np.array_equal(drawn[0].ct_hu, drawn[1].ct_hu)


def test_every_sample_has_noise_of_its_own_where_nothing_else_happens(draw, make_patient):
    """References alone differ far from the bleed by the push; their noise is the baseline's."""
    far = make_patient().baseline.scan.brain.copy()
    far[GRID.shape[0] // 2 :] = False  # the bleed lies to the right
    (one, other), _ = draw(2, network=False)
    (plain, plain_other), _ = draw(2, network=False, finish=False)
    renewed = (one.ct_hu - plain.ct_hu)[far]
    assert 1 < renewed.std() < 8
    again = (other.ct_hu - plain_other.ct_hu)[far]
    assert abs(np.corrcoef(renewed, again)[0, 1]) < 0.6  # both lost part of the same old noise


def test_an_oracle_tells_the_growth_that_happened_of_both(draw, make_patient):
    known = make_patient(followup_iph_ml=40.0, followup_ivh_ml=8.5)
    _, asked = draw(3, known, indicator="oracle")
    assert [one.growth_ml for one in asked.told] == [9.0] * 3
    assert [one.ivh_growth_ml for one in asked.told] == [2.5] * 3
    _, asked = draw(3, known)
    assert 9.0 not in [one.growth_ml for one in asked.told]


def test_a_reference_that_stays_the_same_is_decoded_once(draw, models, monkeypatch):
    own = models.denoiser
    network = Denoiser(own.settings, len(own.scale.delta_sd), GRID.shape[2]).eval()
    plain = replace(models, denoiser=replace(own, network=network, reference=BASELINE))
    decoded = []
    decode = MultiHeadVae.decode
    monkeypatch.setattr(
        MultiHeadVae, "decode", lambda self, x: decoded.append(1) or decode(self, x)
    )
    draw(4, models=plain, finish=False)
    assert len(decoded) == 4 + 1
    decoded.clear()
    draw(4, finish=False)
    assert len(decoded) == 4 + 4


def test_the_table_says_what_each_sample_was_told(models, make_patient, settings, tmp_path, draw):
    asked_for = {"samples": 2, "evaluations": 3, "batch_slices": 2 * GRID.shape[2]}
    sampler = Sampler(models, settings.sampling.model_copy(update=asked_for), 1)
    layout = Layout(tmp_path)
    sample_patient(sampler, make_patient(), layout)
    table = pd.read_csv(layout.sample_volumes("P1"), sep="\t")
    drawn, asked = draw(2)
    for k, told in enumerate(asked.told):
        row = table.iloc[k]
        assert row["target_growth_ml"] == pytest.approx(told.growth_ml, abs=1e-4)
        assert row["target_ivh_growth_ml"] == pytest.approx(told.ivh_growth_ml, abs=1e-4)
        assert row["push_ml"] == pytest.approx(told.push_ml, abs=1e-4)
        drift = row[["drift_z_mm", "drift_x_mm", "drift_y_mm"]].to_numpy(dtype=float)
        assert drift == pytest.approx(told.drift_mm, abs=1e-4)
        for name, value in drawn[k].measured.items():
            assert row[name] == pytest.approx(value, abs=1e-4), name


def test_the_first_samples_stay_and_maps_and_volumes_are_of_all(
    models, make_patient, settings, tmp_path
):
    tables, maps = [], []
    for keep, stay in ((2, 2), ("all", 3), (9, 3), (1, 1)):
        asked_for = {"samples": 3, "keep": keep, "evaluations": 3, "batch_slices": 9}
        sampler = Sampler(models, settings.sampling.model_copy(update=asked_for), 1)
        layout = Layout(tmp_path)
        sample_patient(sampler, make_patient(), layout)
        images = [path for part in layout.sample("P1", "*") for path in layout.find(part)]
        wanted = {path for k in range(stay) for path in layout.sample("P1", k)}
        assert set(images) == wanted and len(images) == 2 * stay
        tables.append(pd.read_csv(layout.sample_volumes("P1"), sep="\t"))
        maps.append(read_volume(layout.sample_map("P1", "iph")).data)
        assert tables[-1]["kept"].tolist() == [1] * stay + [0] * (3 - stay)
    for table, share in zip(tables[1:], maps[1:], strict=True):
        pd.testing.assert_frame_equal(table.drop(columns="kept"), tables[0].drop(columns="kept"))
        assert np.array_equal(share, maps[0])
    labels = [read_volume(layout.sample("P1", 0).labels).data == 1]
    assert not np.array_equal(maps[0], labels[0])


def test_a_changed_value_has_the_same_noise_and_enters_law_and_network(models, make_patient, draw):
    """This law of growth knows no anticoagulant: what is told stays, the network still asks."""
    patient = make_patient()
    off = change_patient(models.growth, patient, "anticoagulant")
    assert patient.row["anticoagulant"] == 1 and off.row["anticoagulant"] == 0
    (as_is, asked), (changed, asked_off) = draw(2, patient), draw(2, off)
    for one, other in zip(asked.told, asked_off.told, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert any(not np.array_equal(a.ct_hu, b.ct_hu) for a, b in zip(as_is, changed, strict=True))
    of_onset = Linear(("ln_onset",), (0.0,), (1.0,), (-1.0,), 0.5)
    later = replace(models, growth=replace(models.growth, logit=of_onset))
    late = change_patient(later.growth, patient, "onset")
    assert late.row["onset_to_ct_h"] == 12
    told, told_late = (draw(9, one, models=later)[1].told for one in (patient, late))
    growth = np.array([[one.growth_ml for one in both] for both in (told, told_late)])
    assert (growth[0] >= growth[1]).all() and growth[0].sum() > growth[1].sum() + 1
    law = patient_distribution(later.growth, late.row)
    levels = spread_evenly(9, PatientSeed(1, "P1"))
    assert np.array_equal(growth[1], law.quantile(*levels))


def test_a_given_probability_moves_as_the_models_does(models, make_patient):
    of_drug = Linear(("anticoagulant",), (0.0,), (1.0,), (1.5,), -1.0)
    growth = replace(models.growth, logit=of_drug)
    off = change_patient(growth, make_patient(expansion_prob=0.5), "anticoagulant")
    assert off.row["expansion_prob"] == pytest.approx(1 / (1 + np.exp(1.5)))
    unknown = change_patient(growth, make_patient(), "anticoagulant")
    assert np.isnan(unknown.row.get("expansion_prob", np.nan))


def test_an_answer_counts_samples_and_sums_the_map(draw, make_patient):
    patient = make_patient(onset_to_ct_h=np.nan)
    finished, _ = draw(3, patient, spread=False)
    frame = patient.baseline.scan.frame
    volumes, chance = add_up(finished, patient.baseline, frame)
    found = answer(volumes, chance, patient.baseline, patient.row)
    blood = frame.cut(patient.baseline.scan.blood)
    new = [np.count_nonzero((one.labels > 0) & ~blood) for one in finished]
    assert found["map_ml"] == pytest.approx(np.mean(new) * VOXEL_ML)
    grown = np.array([one.measured["iph_ml"] for one in finished]) - VOLUMES["baseline_iph_ml"]
    assert found["iph_growth_ml"] == pytest.approx(grown.mean())
    assert found["p_expansion"] == np.mean(grown >= 6) and found["samples"] == 3
    assert found["note"] == "unknown: onset_to_ct_h"
