"""Ablations: one part of the method changed, the rest the main run's own."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from mini import CONFIG, REPOSITORY, jobs, mini_rows, run, snakemake, write_sheet
from test_diffusion import wake
from tiny_models import BASELINE, FixedReferences, draw_latents
from tiny_training import slices, stacks, tiny

from hemexp import HemexpError
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings, read_config
from hemexp.desk.ablations import ablated_settings, shared_rooms
from hemexp.desk.side_run import link_rooms, move_sheet
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.objective import draw_batch
from hemexp.diffusion.schedule import Schedule
from hemexp.latents.encode import encode_copies, scan_copies
from hemexp.latents.scale import measure_scale
from hemexp.layout import Layout
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.sample import Start
from hemexp.training import generator_for

CONFIGS = {path.stem: path for path in (REPOSITORY / "config" / "ablations").glob("*.yaml")}
PREPARED = ["phantom", "preprocess", "segmentation", "autoencoder"]
SHARED = {
    "no_clinical": [*PREPARED, "latents", "expansion"],
    "no_condition": [*PREPARED, "expansion"],
    "flag_condition": [*PREPARED, "expansion"],
    "followup_latent": [*PREPARED, "latents", "expansion"],
    "one_slice": [*PREPARED, "latents", "expansion"],
    "independent_slices": [*PREPARED, "latents", "expansion"],
    "sampled_latents": [*PREPARED, "expansion"],
    "no_shell": [*PREPARED, "expansion"],
    "even_shell": [*PREPARED, "expansion"],
    "no_warp": [*PREPARED, "expansion"],
    "no_ivh_driver": [*PREPARED, "expansion"],
    "shell_alone": [*PREPARED, "latents", "expansion", "diffusion"],
    "no_finish": [*PREPARED, "latents", "expansion", "diffusion"],
}


@pytest.mark.parametrize("preset", ["demo", "full", "validation"])
@pytest.mark.parametrize("name", SHARED)
def test_an_ablation_changes_just_what_its_name_says(preset, name):
    main = load_settings({"preset": preset})
    assert shared_rooms(main, ablated_settings({"preset": preset}, CONFIGS[name])) == SHARED[name]
    assert set(CONFIGS) == set(SHARED)


@pytest.mark.parametrize("room", ["preprocess", "segmentation"])
def test_what_is_made_of_scans_and_masks_is_shared_together_or_not_at_all(tmp_path, room):
    key = {"preprocess": "on_failure: exclude", "segmentation": "steps: 7"}[room]
    (tmp_path / "changed.yaml").write_text(f"{room}: {{{key}}}\n")
    changed = ablated_settings({"preset": "demo"}, tmp_path / "changed.yaml")
    assert shared_rooms(load_settings({"preset": "demo"}), changed) == ["phantom"]


def test_nothing_changed_shares_everything_and_the_cohort_may_not_change(tmp_path, settings):
    assert shared_rooms(settings, ablated_settings({"preset": "demo"}, None))[-1] == "evaluation"
    (tmp_path / "wrong.yaml").write_text("seed: 2\n")
    with pytest.raises(HemexpError, match="the key seed.*rooms alone"):
        ablated_settings({"preset": "demo"}, tmp_path / "wrong.yaml")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {
                "diffusion": {"condition_dropout": 1},
                "latents": {"reference": {"shell": "none", "warp": False, "ivh": False}},
            },
            "indicator must be 'free'",
        ),
        ({"diffusion": {"target": "followup", "bleed_weight": 2}}, "bleed_weight"),
    ],
)
def test_settings_that_contradict_a_switch_are_refused(config, message):
    with pytest.raises(HemexpError, match=message):
        load_settings({"preset": "demo"} | config)


def test_a_drawn_latent_is_the_scans_own_draw_with_the_posteriors_spread(settings):
    torch.manual_seed(0)
    small = settings.autoencoder.model_copy(update={"channels": [8, 16]})
    vae, scan = MultiHeadVae(small).eval(), slices()

    def draw(seed, session="baseline", batch=4):
        generator = generator_for(seed, "A", session, "posterior")
        copies = scan_copies(scan.images(), 0, seed, "A")
        return encode_copies(vae, copies, scan.spacing_mm, batch, generator)[0]

    copies = scan_copies(scan.images(), 0, 1, "A")
    mean = encode_copies(vae, copies, scan.spacing_mm, 4)[0]
    drawn = draw(1)
    assert torch.allclose(draw(1, batch=3)[0], drawn[0], atol=1e-5)
    with torch.inference_mode():
        sd = vae.encode(scan.images())[1]
    z = (drawn[0] - mean[0]) / sd
    assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1
    for other in (draw(2)[0], draw(1, "followup")[0], drawn[1].flip(2)):
        assert not torch.allclose(other, drawn[0], atol=1e-2)


def test_both_targets_have_unit_sd_and_lead_back_to_the_followup():
    generator = torch.Generator().manual_seed(0)
    baseline = 5 + 2 * torch.randn(6, 4, 3, 8, 8, generator=generator)
    followup = baseline + 0.3 * torch.randn(baseline.shape, generator=generator)
    scale = measure_scale(list(zip(baseline, followup, strict=True)))
    for kind in ("difference", "followup"):
        target = scale.normalise_target(kind, baseline, followup)
        assert abs(target.mean()) < 0.05 and target.std() == pytest.approx(1, abs=0.05)
        change = scale.restore_change(kind, target, baseline)
        assert torch.allclose(baseline + change, followup, atol=1e-4)
    assert not torch.allclose(scale.normalise_target("difference", baseline, followup), target)


def draw_stack(settings, condition, **update):
    """Two followups of the first tiny patient by an untrained denoiser; may change: slice 1."""
    diffusion = tiny("diffusion", **update)
    torch.manual_seed(0)
    data = stacks()
    network = Denoiser(diffusion, 4, 3).eval()
    wake(network)
    before, _, after = (None if part is None else part[:, 0] for part in data.latents.every)
    scale = measure_scale(list(zip(before, after * 0.1, strict=True)))
    schedule = Schedule("cosine", -2, -6, 4)
    model = DiffusionModel(network, diffusion, schedule, 1, DriftModel([], []), scale, BASELINE)
    sampling = settings.sampling.model_copy(update={"evaluations": 3, "batch_slices": 6})
    may_change = torch.tensor([False, True, False])
    baseline = before[0]
    start = Start(PatientSeed(1, "A"), baseline, 5.0, may_change, FixedReferences(baseline))
    return draw_latents(model, start, condition, sampling), baseline


def test_a_drawn_followup_stands_for_itself_where_the_stack_may_change(settings):
    condition = stacks().condition[:2, 0]
    difference, baseline = draw_stack(settings, condition)
    followup, _ = draw_stack(settings, condition, target="followup")
    for drawn in (difference, followup):
        assert torch.allclose(drawn[:, [0, 2]], baseline[[0, 2]].expand(2, -1, -1, -1, -1))
    assert not torch.allclose(difference[:, 1], followup[:, 1], atol=1e-2)


@pytest.mark.parametrize(("key", "part"), [("clinical", "clinical"), ("condition", "request")])
def test_what_training_always_hid_is_never_told(settings, key, part):
    """Told or not, samples of a denoiser of dropout 1 are equal to the bit; of 0.1 they differ."""
    condition = stacks().condition[:2, 0]
    hidden = condition.without(**{part: True})
    never, often = {f"{key}_dropout": 1.0}, {f"{key}_dropout": 0.1}
    one, other = (draw_stack(settings, c, **never)[0] for c in (condition, hidden))
    assert torch.equal(one, other)
    one, other = (draw_stack(settings, c, **often)[0] for c in (condition, hidden))
    assert not torch.allclose(one, other)
    batch = draw_batch(
        stacks(), Schedule("cosine", -2, -6, 4), tiny("diffusion", **never), 1, 0, 0
    )
    assert torch.isnan(getattr(batch.condition, part)).all()


def test_rooms_are_linked_and_unlinked_as_settings_change(tmp_path):
    main, own = tmp_path / "results", tmp_path / "results" / "ablations" / "x" / "results"
    for folder in ("latents", "diffusion", "cohort", "evaluation/sub-A"):
        (main / folder).mkdir(parents=True)
    (main / "diffusion" / "model").write_text("main")
    (main / "evaluation/sub-A/sub-A_redraws.tsv").write_text("drawn")
    link_rooms(Layout(main), Layout(own), ["preprocess", "latents"])
    assert (own / "latents").is_symlink() and (own / "cohort").resolve() == main / "cohort"
    assert (own / "evaluation/sub-A/sub-A_redraws.tsv").read_text() == "drawn"
    (own / "diffusion").mkdir()
    (own / "diffusion" / "model").write_text("own")
    link_rooms(Layout(main), Layout(own), ["preprocess"])
    assert not (own / "latents").exists() and (own / "diffusion/model").read_text() == "own"
    link_rooms(Layout(main), Layout(own), ["preprocess", "diffusion"])
    assert (own / "diffusion" / "model").read_text() == "main"
    link_rooms(Layout(main), Layout(own), [])
    assert (main / "diffusion" / "model").read_text() == "main" and (main / "latents").is_dir()


def test_the_sheet_of_a_run_elsewhere_keeps_the_phantom_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = {
        "patient_id": "A",
        "baseline_ct": "results/phantom/sub-A/x.nii.gz",
        "baseline_iph": "scans/iph.nii.gz",
        "followup_ct": "",
    }
    move_sheet(pd.DataFrame([row]), Path("elsewhere/config/samples.tsv"))
    moved = pd.read_csv("elsewhere/config/samples.tsv", sep="\t", keep_default_na=False).iloc[0]
    assert moved["baseline_ct"] == "../results/phantom/sub-A/x.nii.gz"
    assert moved["baseline_iph"] == str(tmp_path / "scans/iph.nii.gz")
    assert moved["followup_ct"] == ""


@pytest.mark.slow
def test_one_target_plans_every_ablation_and_the_design_itself(tmp_path):
    folder = write_sheet(mini_rows(), tmp_path)
    planned = jobs(snakemake(folder, "--dry-run", "ablations"))
    assert planned["run_ablation"] == 1 + len(SHARED)
    assert planned["summarise_scores"] == 1 and "draw_figures" not in planned


@pytest.mark.wet
def test_an_ablation_runs_resumes_and_reruns_what_a_setting_touches(mini_run, tmp_path):
    folder = shutil.copytree(mini_run, tmp_path / "run", symlinks=True)
    names = [f"results/ablations/{name}/forecasts.tsv" for name in ("as_designed", "one_slice")]
    snakemake(folder, "--cores", "2", *names)
    design, one_slice = (pd.read_csv(folder / name, sep="\t") for name in names)
    pd.testing.assert_frame_equal(
        design, pd.read_csv(folder / "results/evaluation/forecasts.tsv", sep="\t")
    )
    keys = ["split", "center", "target", "model", "indicator"]
    pd.testing.assert_frame_equal(design[keys], one_slice[keys])
    others = ~design["model"].str.startswith("hemexp")
    pd.testing.assert_frame_equal(design[others], one_slice[others])
    own = folder / "results/ablations/one_slice/results"
    model = json.loads((own / "diffusion/model.json").read_text())
    assert model["settings"]["context_slices"] == 1 and (own / "latents").is_symlink()
    scan = Path("samples/sub-D02/sub-D02_sample-0_ct.nii.gz")
    drawn, other = ((root / scan).read_bytes() for root in (folder / "results", own))
    assert drawn != other
    assert "Nothing to be done" in snakemake(folder, "--cores", "2", *names)
    changed = snakemake(folder, "--dry-run", "--config", "evaluation={band_mm: 12}", "--", *names)
    assert jobs(changed)["run_ablation"] == 2
    inner = own.parent
    text = run(
        "snakemake",
        inner,
        "--snakefile",
        REPOSITORY / "Snakefile",
        "--configfile",
        inner / "config" / "config.json",
        "--dry-run",
        "--nocolor",
        "--config",
        "sampling={samples: 3}",
        "--",
        "evaluation",
    )
    assert set(jobs(text)) <= {
        "evaluation",
        "sample_followups",
        "fit_pool",
        "pool_map",
        "score_patient",
        "summarise_scores",
        "vary_masks",
        "redraw_what_if",
        "score_what_if",
    }
    assert read_config(CONFIG)["diffusion"]["steps"] == model["settings"]["steps"]
