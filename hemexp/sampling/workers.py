"""Threads that finish and write samples behind the sampler."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Self, TypeVar

import torch
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")
_card = threading.Lock()


def taking_turns(device: torch.device) -> AbstractContextManager:
    """On a GPU one thread at a time: its memory would grow with the threads, and gain no time.

    A stack of `full` takes some 6 GB while it is decoded.

    Args:
        device: Where slices are encoded or decoded within the context.
    """
    return _card if device.type == "cuda" else nullcontext()


class Workers:
    """Does work in threads; without any, at once.

    NumPy, SciPy, zlib and the networks let other threads run meanwhile. Each thread's sums are its
    own: what comes out does not depend on their number.
    """

    def __init__(self, count: int) -> None:
        """Starts threads.

        Args:
            count: Their number; 0: whoever gives work does it.
        """
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count else None
        # Else every thread's products of matrices would take all cores.
        self._limits = threadpool_limits(1, "blas") if count else None

    @classmethod
    def of_job(cls) -> Self:
        """One less than the job has threads (`OMP_NUM_THREADS`, which Snakemake sets)."""
        return cls(torch.get_num_threads() - 1)

    def __enter__(self) -> Self:
        """Nothing more is needed to begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends the threads; after an error, work that has not begun is left out."""
        if self._pool:
            self._pool.shutdown(cancel_futures=kind is not None)
            self._limits.restore_original_limits()

    def start(self, work: Callable[..., Result], *args: object) -> Future[Result]:
        """Gives work to a thread, or does it at once."""
        if self._pool:
            return self._pool.submit(work, *args)
        done = Future()
        done.set_result(work(*args))
        return done
