"""Several processes that train one network together, on one machine or many, through `accelerate`.

Every process takes its share of a step's micro-batches; before the optimisers step, gradients are
added up over all processes. A step's micro-batches depend on seed and step alone, so that a
training comes out the same, but for rounding, whatever the number of processes. Gradients are
added once a step, after the last micro-batch, by one call: no module is wrapped, and what is
saved bears plain names.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from tqdm import trange

from hemexp import Fault, HemexpError

log = logging.getLogger(__name__)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen from one of them. Alone it waits for nobody.

    Attributes:
        rank: Place of this process; 0 alone writes files.
        count: Number of processes.
        device: Where this process works.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints and products."""
        return self.rank == 0

    def parts(self, room: str, total: int) -> range:
        """Those of a step's `total` micro-batches that are this process's.

        Args:
            room: Room whose key `accumulate` says the total.
            total: Micro-batches of a step, over all processes.

        Raises:
            HemexpError: They cannot be shared out evenly.
        """
        if total % self.count:
            raise HemexpError(
                Fault(
                    f"config, key {room}.accumulate",
                    f"{total} with {self.count} processes",
                    "a multiple of the number of processes, which share the micro-batches",
                    "Raise it (and lower the batch to match), or start fewer processes.",
                )
            )
        return range(self.rank, total, self.count)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces the gradients by their sums over all processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.count == 1 or not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        shares = flat.split([gradient.numel() for gradient in gradients])
        for gradient, share in zip(gradients, shares, strict=True):
            gradient.copy_(share.view_as(gradient))

    def add(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Sums of single numbers over all processes."""
        numbers = torch.stack(list(values.values()))
        if self.count > 1:
            distributed.all_reduce(numbers)
        return dict(zip(values, numbers.tolist(), strict=True))

    def any(self, asked: bool) -> bool:
        """Whether any process asks: all get the same answer."""
        if self.count == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.device)
        distributed.all_reduce(flag)
        return bool(flag > 0)

    def wait(self) -> None:
        """Returns once all processes have come here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Processes()


@contextlib.contextmanager
def launched_processes(device: torch.device) -> Iterator[Processes]:
    """Joins the processes that `accelerate launch` or `torchrun` started; alone without them.

    Args:
        device: Kind of device; a launched process gets one of its own.

    Yields:
        The processes.
    """
    if "LOCAL_RANK" not in os.environ:
        yield Processes(device=device)
        return
    # Imported here: a process that was not launched has no use for it.
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu")
    if not state.is_main_process:
        logging.getLogger("hemexp").setLevel(logging.WARNING)
    log.info("%d processes train together", state.num_processes)
    yield Processes(state.process_index, state.num_processes, state.device)
    state.destroy_process_group()


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns SIGTERM (a cluster's preemption) into a question a loop can ask between steps."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


def describe_speed(seconds: float, flop: float) -> str:
    """Time of a step and, where its FLOP are known, the rate at which they were done."""
    rate = f", {flop / seconds / 1e12:.3g} TFLOP/s" if flop else ""
    return f"{seconds:.3g} s a step{rate}"


def run_steps(
    start: int,
    total: int,
    every: int,
    save: Callable[[int], None],
    processes: Processes,
    flop: float = 0,
) -> Iterator[int]:
    """Steps of a training from `start` on; between them it is saved, or stopped on SIGTERM.

    At every checkpoint it is said how long a step took since the last one. The first step of all,
    which is slower, does not count.

    Args:
        start: Steps done already.
        total: Steps of the whole training.
        every: Steps between checkpoints.
        save: Writes a checkpoint, given the steps done. The main process alone calls it.
        processes: Those that train together; asked to stop, all stop after the same step.
        flop: Of a step, over all processes; 0 where they were not counted.

    Raises:
        SystemExit: On SIGTERM, once the checkpoint is written.
    """
    processes.wait()  # all have read the checkpoint before anybody writes or removes it
    silent = None if processes.is_main else True
    began, since = time.perf_counter(), start
    with stop_requests() as stop_asked:
        for step in trange(start, total, desc="training", disable=silent):
            yield step
            done = step + 1
            stop = processes.any(stop_asked())
            now = time.perf_counter()
            if (stop or done % every == 0) and processes.is_main:
                save(done)
                timed = done - since
                speed = describe_speed((now - began) / timed, flop) if timed else "not timed"
                log.info("step %d of %d; %s", done, total, speed)
            if step == start or done % every == 0:
                began, since = time.perf_counter(), done
            if stop:
                processes.wait()  # a launcher ends the others as soon as one has left
                raise SystemExit(f"stopped on request after step {done}; a rerun goes on there")
