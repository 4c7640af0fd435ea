"""Both training loops: killed and resumed, shared by processes, switched to other arithmetic."""

import functools
import itertools
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mini import REPOSITORY, demo_rows, write_sheet
from safetensors.torch import load_file
from tiny_training import (
    CPU,
    ROOMS,
    STEPS,
    exit_code,
    run_two,
    stacks,
    start,
    tiny,
    train_room,
    train_until_killed,
    train_with_sigterm,
)
from torch.utils.flop_counter import FlopCounterMode

from hemexp import HemexpError, compiling, prefetch, processes
from hemexp.autoencoder.train import run_train_autoencoder
from hemexp.compiling import worth_compiling
from hemexp.diffusion.objective import diffusion_loss, draw_batch
from hemexp.diffusion.schedule import Schedule
from hemexp.diffusion.train import count_flop, make_network
from hemexp.layout import Layout
from hemexp.processes import ALONE, Processes, run_steps
from hemexp.training import Checkpoint, autocast_for, has_bf16, load_checkpoint, remove_checkpoint
from hemexp.volumes import write_volume

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training of each room: folder with weights and history."""
    folders = {room: tmp_path_factory.mktemp(room) for room in ROOMS}
    for room, folder in folders.items():
        assert exit_code(start(train_room, room, folder)) == 0
    return folders


def assert_same(folder, other, tolerance=0.0):
    """Equal weights and curves; to the bit without a tolerance."""
    one, two = (load_file(path / "model.safetensors") for path in (folder, other))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=0, atol=tolerance), name
    curves = [json.loads((path / "history.json").read_text()) for path in (folder, other)]
    assert len(curves[0]) == len(curves[1]) == STEPS
    for row, same in zip(*curves, strict=True):
        assert row == pytest.approx(same, abs=tolerance, rel=0)


# One after the other in one folder; numbers of steps count from 0, those of writes from the last
# kill. Before the first whole checkpoint; in the middle of steps; on both sides of a rename. After
# the last one enough steps are left for what the critic's optimiser forgot to reach the VAE.
MOMENTS = [
    ("step", 1),
    ("half written", 1),
    ("not renamed", 1),
    ("saved", 1),
    ("step", 3),
    ("half written", 1),
    ("step", 6),
]


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_killed_anywhere_and_resumed_it_ends_the_same_to_the_bit(room, whole, tmp_path):
    for moment, number in MOMENTS:
        assert exit_code(start(train_until_killed, room, tmp_path, moment, number)) == -9
        left = list(tmp_path.glob(".writing-*"))
        assert len(left) == (moment in ("half written", "not renamed"))
    assert not (tmp_path / "model.safetensors").exists()
    train_room(room, tmp_path)
    assert_same(whole[room], tmp_path)
    remove_checkpoint(tmp_path / "last.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.json",
        "model.safetensors",
    ]


def test_killed_from_outside_at_no_chosen_moment(whole, tmp_path):
    process = start(train_room, "diffusion", tmp_path)
    deadline = time.monotonic() + 100
    while not (tmp_path / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    exit_code(process)
    train_room("diffusion", tmp_path)
    assert_same(whole["diffusion"], tmp_path)


@pytest.mark.parametrize("room", ROOMS)
def test_sigterm_saves_after_the_step_it_came_in(room, whole, tmp_path):
    assert exit_code(start(train_with_sigterm, room, tmp_path, 4)) == 1
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["step"] == 5
    train_room(room, tmp_path, checkpoint_every=1000)
    assert_same(whole[room], tmp_path)


@pytest.mark.parametrize("room", ROOMS)
def test_drawn_ahead_stopped_and_resumed_it_ends_the_same_to_the_bit(
    room, whole, tmp_path, monkeypatch
):
    monkeypatch.setitem(prefetch.AHEAD, "cpu", 2)
    with monkeypatch.context() as patched, pytest.raises(SystemExit, match="after step 5"):
        patched.setattr(ROOMS[room], "run_steps", ROOMS[room].run_steps)
        train_with_sigterm(room, tmp_path, 4)
    train_room(room, tmp_path, checkpoint_every=1000)
    assert_same(whole[room], tmp_path)


@pytest.mark.parametrize("room", ROOMS)
def test_the_global_random_state_does_not_matter(room, whole, tmp_path, monkeypatch):
    """No random state lives between steps, so that a checkpoint needs to hold none."""
    draw = ROOMS[room].draw_batch

    def disturbed(*args):
        torch.manual_seed(time.monotonic_ns() % 2**32)
        np.random.seed(time.monotonic_ns() % 2**32)  # noqa: NPY002 - the global state is meant
        return draw(*args)

    monkeypatch.setattr(ROOMS[room], "draw_batch", disturbed)
    train_room(room, tmp_path)
    assert_same(whole[room], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_two_processes_learn_what_one_learns(room, whole, tmp_path):
    assert run_two(room, tmp_path) == [0, 0]
    assert_same(whole[room], tmp_path, tolerance=1e-5)


def test_sigterm_to_one_process_stops_both_after_the_same_step(whole, tmp_path):
    assert run_two("autoencoder", tmp_path, 4) == [1, 1]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 5
    train_room("autoencoder", tmp_path)  # one alone may go on
    assert_same(whole["autoencoder"], tmp_path, tolerance=1e-5)


def test_processes_share_micro_batches_evenly_or_say_so():
    shares = [list(Processes(rank, 3).parts("diffusion", 6)) for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(HemexpError, match=r"diffusion\.accumulate: found 4 with 3 processes"):
        Processes(0, 3).parts("diffusion", 4)


def test_an_unfinished_training_of_another_kind_is_refused(tmp_path):
    train_room("diffusion", tmp_path)
    message = r"last\.ckpt.*unfinished.*learning_rate \(.*, now 0\.5\), seed \(1, now 2\).*delete"
    with pytest.raises(HemexpError, match=message) as caught:
        train_room("diffusion", tmp_path, seed=2, learning_rate=0.5)
    assert "steps" not in str(caught.value)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 8
    (tmp_path / "last.ckpt").write_bytes(b"PK, but no more")
    with pytest.raises(HemexpError, match=r"last\.ckpt: found a file that cannot be read.*Delete"):
        load_checkpoint(Checkpoint(tmp_path / "last.ckpt", {}), {})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A run's folder: a sheet of two training patients and their grid scans of noise."""
    rows = demo_rows(["A01", "A02"]).assign(split="train")
    folder = write_sheet(rows, tmp_path_factory.mktemp("cohort"))
    rng = np.random.default_rng(0)
    for patient, session in itertools.product(rows["patient_id"], ("baseline", "followup")):
        blood = np.zeros((24, 32, 3))
        blood[4:9, 6:15, 1] = 1
        arrays = rng.integers(20, 60, blood.shape), blood, 0 * blood, 0 * blood + 1
        files = Layout(folder / "results").grid(patient, session).images
        for path, data in zip(files, arrays, strict=True):
            write_volume(path, data, np.diag([9.0, 8, 7, 1]), np.int16)
    return folder


@pytest.fixture
def elsewhere(cohort, tmp_path):
    """The same cohort for a run of its own."""
    (tmp_path / "preprocess").symlink_to(cohort / "results/preprocess")
    return Layout(tmp_path)


PRODUCTS = ["history.json", "history.tsv", "model.json", "model.safetensors"]


def test_a_finished_training_leaves_no_checkpoint_in_the_way_of_other_settings(elsewhere):
    out = elsewhere.network("autoencoder")
    for settings in (tiny("autoencoder"), tiny("autoencoder", steps=3)):
        run_train_autoencoder(elsewhere, ["A01", "A02"], settings, 1, "cpu")
        assert sorted(path.name for path in out.model.parent.iterdir()) == PRODUCTS
        model = json.loads(out.model.read_text())
        assert model["settings"]["steps"] == settings.steps


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(cohort, elsewhere):
    settings = tiny("autoencoder", steps=2)
    run_train_autoencoder(elsewhere, ["A01", "A02"], settings, 1, "cpu")
    launcher = [
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        "-m",
        "hemexp",
        "train-autoencoder",
    ]
    options = [
        "--samples",
        "config/samples.tsv",
        "--settings",
        settings.model_dump_json(),
        "--seed",
        "1",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *options],
        cwd=cohort,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("2 steps in") == 1
    layouts = (elsewhere, Layout(cohort / "results"))
    alone, launched = (layout.network("autoencoder").weights for layout in layouts)
    assert sorted(path.name for path in launched.parent.iterdir()) == PRODUCTS
    one, two = load_file(alone), load_file(launched)
    assert all(torch.allclose(value, two[name], rtol=0, atol=1e-5) for name, value in one.items())


def said(caplog):
    """Warnings of hemexp."""
    records = [one for one in caplog.records if one.name.startswith("hemexp")]
    return [one.getMessage() for one in records if one.levelname == "WARNING"]


SWITCHES = {"precision": ("bf16", 0.05), "channels_last": (True, 1e-4), "fused": (True, 1e-4)}


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("room", ROOMS)
def test_a_switch_does_what_it_says_and_changes_little(
    room, switch, whole, tmp_path, caplog, monkeypatch
):
    value, tolerance = SWITCHES[switch]
    made, make = [], ROOMS[room].make_optimiser
    monkeypatch.setattr(
        ROOMS[room], "make_optimiser", lambda *args: made.append(make(*args)) or made[-1]
    )
    weights, history = train_room(room, tmp_path, **{switch: value})
    plain = json.loads((whole[room] / "history.json").read_text())
    early = STEPS // 2  # two networks that play against each other part in time
    assert plain[early] == pytest.approx(history[early], rel=tolerance)
    images = [weight for weight in weights.values() if weight.dim() == 4 and weight.shape[3] > 1]
    laid_out = [not weight.is_contiguous() for weight in images]
    assert images and set(laid_out) == {switch == "channels_last"}
    assert {bool(one.defaults["fused"]) for one in made} == {switch == "fused"}
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    stored, fp32 = (load_file(f / "model.safetensors") for f in (tmp_path, whole[room]))
    assert stored.keys() == fp32.keys()
    if switch == "precision":
        assert max((stored[name] - fp32[name]).abs().max() for name in fp32) > 1e-4
    assert not said(caplog)


@pytest.fixture
def compiler(monkeypatch):
    """Replaces the compiler's back end (which takes minutes on a CPU) by a given one."""

    def replace(backend):
        compile_module = torch.nn.Module.compile
        patched = functools.partialmethod(compile_module, backend=backend)
        monkeypatch.setattr(torch.nn.Module, "compile", patched)

    monkeypatch.setattr(compiling, "LEAST_STEPS", 1)
    yield replace
    torch.compiler.set_stance("default")
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_a_compiled_network_is_one_graph_and_keeps_its_names(room, whole, tmp_path, compiler):
    graphs = []
    compiler(lambda graph, inputs: graphs.append(graph) or graph.forward)
    train_room(room, tmp_path, compile=True)
    assert len(graphs) == {"autoencoder": 2, "diffusion": 1}[room]
    assert_same(whole[room], tmp_path, tolerance=1e-6)


@pytest.mark.parametrize("room", ROOMS)
def test_a_training_too_short_to_gain_does_not_compile_and_says_so(
    room, whole, tmp_path, compiler, caplog, monkeypatch
):
    graphs = []
    compiler(lambda graph, inputs: graphs.append(graph) or graph.forward)
    monkeypatch.setattr(compiling, "LEAST_STEPS", STEPS + 1)
    caplog.set_level("INFO", logger="hemexp")
    train_room(room, tmp_path, compile=True)
    assert not graphs and "compile: not for 9 steps; it gains time from 10 on" in caplog.text
    assert_same(whole[room], tmp_path)
    assert worth_compiling(True, STEPS + 1) and not worth_compiling(False, STEPS + 1)


def test_what_is_compiled_is_kept_in_the_run_unless_the_user_has_a_place(monkeypatch, tmp_path):
    monkeypatch.delenv(compiling.CACHE, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    compiling.keep_compiled(Layout(tmp_path).compiled)
    assert os.environ[compiling.CACHE] == str(tmp_path / "compiled")
    compiling.keep_compiled(tmp_path / "other")
    assert os.environ[compiling.CACHE] == str(tmp_path / "compiled")


def test_time_and_rate_of_a_step_are_said_at_every_checkpoint(caplog, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(processes, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    caplog.set_level("INFO", logger="hemexp")

    def save(done):
        now[0] += 100  # what a checkpoint costs does not count, nor the first step
        saved.append(done)

    for step in run_steps(10, 15, 2, save, ALONE, flop=5e12):
        now[0] += 50 if step == 10 else 2
    assert saved == [12, 14]
    assert caplog.messages == [f"step {k} of 15; 2 s a step, 2.5 TFLOP/s" for k in saved]


def test_flop_are_counted_without_computing_and_are_those_of_a_pass():
    settings, schedule, data = tiny("diffusion"), Schedule("cosine", -2, -6, 4), stacks()
    network = make_network(data, settings, 1, CPU)
    with FlopCounterMode(display=False) as counter:
        batch = draw_batch(data, schedule, settings, 1, 0, 0)
        diffusion_loss(network, batch, schedule, settings, 1).backward()
    counted = count_flop(data, schedule, settings)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.01)
    wider = settings.model_copy(update={"batch_stacks": 2 * settings.batch_stacks})
    assert count_flop(data, schedule, wider) == pytest.approx(2 * counted, rel=0.01)


def broken(*_):
    raise RuntimeError("no compiler here")


@pytest.mark.slow
def test_without_a_compiler_training_goes_on_and_says_so(whole, tmp_path, compiler, caplog):
    compiler(broken)
    train_room("diffusion", tmp_path, compile=True)
    assert_same(whole["diffusion"], tmp_path)
    (line,) = said(caplog)
    assert "torch.compile does not work here" in line and "no compiler here" in line


def test_without_a_fused_optimiser_training_goes_on_and_says_so(
    whole, tmp_path, caplog, monkeypatch
):
    adam = torch.optim.Adam

    def unfused(*args, fused=None, **options):
        return broken() if fused else adam(*args, **options)

    monkeypatch.setattr(torch.optim, "Adam", unfused)
    train_room("autoencoder", tmp_path, fused=True)
    assert_same(whole["autoencoder"], tmp_path)
    (line,) = said(caplog)
    assert "fused: not with this device or build (no compiler here)" in line


def test_a_gpu_without_bf16_works_in_fp32_and_says_so(caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old GPU")
    has_bf16.cache_clear()
    context, _ = (autocast_for("bf16", torch.device("cuda")) for _ in range(2))
    has_bf16.cache_clear()
    assert not context._enabled
    assert said(caplog) == ["precision: Old GPU has no bf16; working in fp32"]
    assert autocast_for("bf16", CPU)._enabled and not autocast_for("fp32", CPU)._enabled
