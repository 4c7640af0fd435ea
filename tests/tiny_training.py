"""Tiny trainings of both rooms, in processes of their own that a test may kill."""

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path
from unittest import mock

import torch
import torch._dynamo  # loaded at the first optimiser otherwise, in every child anew

import hemexp.training
from hemexp.autoencoder import train as autoencoder
from hemexp.autoencoder.slices import SliceSet
from hemexp.config import load_settings
from hemexp.diffusion import train as diffusion
from hemexp.diffusion.condition import Condition, growth_features
from hemexp.diffusion.dataset import HeldLatents, StackLatents, Stacks
from hemexp.diffusion.schedule import Schedule
from hemexp.processes import ALONE, CPU, launched_processes
from hemexp.training import Checkpoint, save_weights

ROOMS = {"autoencoder": autoencoder, "diffusion": diffusion}
STEPS, EVERY = 9, 2
SMALL = {
    "autoencoder": {
        "channels": [8, 16],
        "feature_channels": 4,
        "batch_slices": 2,
        "adversarial_weight": 0.01,
        "adversarial_start": 3,
    },
    "diffusion": {"channels": [8, 16], "batch_stacks": 2},
}


def tiny(room, **update):
    """Settings of a training that takes a second."""
    settings = getattr(load_settings({"preset": "demo"}), room)
    common = {"steps": STEPS, "checkpoint_every": EVERY, "accumulate": 2}
    return settings.model_copy(update=common | SMALL[room] | update)


def slices():
    """Eight 24 x 32 slices of noise, half of them with blood."""
    generator = torch.Generator().manual_seed(0)
    ct = torch.randint(20, 60, (8, 24, 32), generator=generator)
    iph, ivh = torch.zeros(2, 8, 24, 32).byte()
    iph[:4, 4:9, 6:15] = 1
    ivh[:2, 10:13, 14:18] = 1
    return SliceSet(ct.short(), iph, ivh, (5.0, 3.0, 3.0))


def stacks():
    """Four patients, two expanders, three slices each, relative to references of their own."""
    generator = torch.Generator().manual_seed(0)
    baseline, reference, delta = torch.randn(3, 4, 2, 3, 4, 4, 6, generator=generator)
    growth = torch.tensor([12.0, 8, 0.1, -0.2])
    clinical = torch.rand(4, 8, generator=generator)
    request = growth_features(growth, torch.full((4,), 15.0))
    condition = Condition(
        *(part[:, None].expand(4, 2, -1) for part in (clinical, request)),
        *(part.expand(4, 2, -1) for part in place(3, 4, 6)),
    )
    held = HeldLatents(StackLatents(baseline, reference, delta))
    return Stacks(held, condition, torch.zeros(4, 3), growth > 5)


def place(z, h, w):
    """A drift of 5 mm along z, x and y, and latents 5 mm apart round the bleed's centroid."""
    offsets = (5.0 * (torch.arange(n) - (n - 1) / 2) for n in (z, h, w))
    return torch.full((3,), 5.0), *offsets


def train_room(room, folder, processes=ALONE, seed=1, **update):
    """Trains as the room's verb does; returns weights and curves, logged at every step."""
    module, settings = ROOMS[room], tiny(room, **update)
    run = settings.as_json() | {"seed": seed, "data": "d", "code": "c"}
    data = {
        "autoencoder": lambda: (slices(), settings),
        "diffusion": lambda: (stacks(), Schedule("cosine", -2, -6, 4), settings),
    }[room]()
    with mock.patch.object(module, "LOG_EVERY", 1):
        checkpoint = Checkpoint(folder / "last.ckpt", run)
        network, history = module.train(*data, seed, checkpoint, processes)
    if processes.is_main:
        save_weights(folder / "model.safetensors", network)
        (folder / "history.json").write_text(json.dumps(history))
    return network.state_dict(), history


def before_step(room, step, act):
    """Calls `act` in every later training of this process, before the given step (from 0)."""
    run_steps = ROOMS[room].run_steps

    def acting(*args):
        for present in run_steps(*args):
            if present == step:
                act()
            yield present

    ROOMS[room].run_steps = acting


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(room, folder, moment, number):
    """Trains and is killed by SIGKILL: in a step, while writing, before or after the rename."""
    write, save = torch.save, ROOMS[room].save_checkpoint
    count = [0]

    def counted():
        count[0] += 1
        return count[0] == number

    def torch_save(saved, path):
        last = counted()
        write(saved, path)
        if last and moment == "half written":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if last:
            kill()

    def save_checkpoint(*args):
        save(*args)
        if counted():
            kill()

    if moment == "step":
        before_step(room, number, kill)
    elif moment == "saved":
        ROOMS[room].save_checkpoint = save_checkpoint
    else:
        hemexp.training.torch.save = torch_save
    train_room(room, folder)


def train_with_sigterm(room, folder, step):
    """Trains; SIGTERM comes in the middle of a step. No checkpoint is due before the end."""
    before_step(room, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
    train_room(room, folder, checkpoint_every=1000)


def train_launched(rank, port, room, folder, sigterm=None):
    """One of two processes as a launcher starts them; the second may get SIGTERM in a step."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    if sigterm is not None and rank == 1:
        before_step(room, sigterm, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with launched_processes(CPU) as processes:
        assert (processes.rank, processes.count) == (rank, 2)
        train_room(room, folder, processes)


def start(target, *args):
    """Starts a function in a process of its own.

    It is forked from a process that has the libraries loaded and has computed nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_training"])
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with mock.patch.dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS="1"):
        process = context.Process(target=target, args=args)
        process.start()
    return process


def exit_code(process):
    """Waits for a process; -9 says that it was killed, None that it did not end."""
    process.join(60)
    code = process.exitcode
    process.kill()
    return code


def run_two(room, folder, sigterm=None):
    """Two launched processes that train together; their exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [start(train_launched, rank, port, room, folder, sigterm) for rank in (0, 1)]
    return [exit_code(process) for process in both]
