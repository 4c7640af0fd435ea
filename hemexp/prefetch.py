"""What the next steps of a loop need is made while the present one is under way."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

Key, Item = TypeVar("Key"), TypeVar("Item")

AHEAD = {"cuda": 2, "cpu": 0}
"""Items made ahead of their use. A CPU that computes the network has no time left for them."""


def each_tensor(act: Callable[[Tensor], Tensor], value: Item) -> Item:
    """Does the same to all tensors in tuples, lists, named tuples and dataclasses, nested or not.

    Args:
        act: What to do to a tensor.
        value: What holds tensors, or None in their place.
    """
    part: Any = value
    if part is None:
        return value
    if isinstance(part, Tensor):
        return act(part)
    if is_dataclass(part):
        return replace(part, **{name: each_tensor(act, one) for name, one in vars(part).items()})
    parts = [each_tensor(act, one) for one in part]
    return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)


def make_ahead(make: Callable[[Key], Item], keys: Iterable[Key], ahead: int) -> Iterator[Item]:
    """Makes an item of every key, in order, up to `ahead` of them before they are asked for.

    They are made one after the other in a thread. An error comes out where its item is asked for.

    Args:
        make: Makes an item, of its key alone.
        keys: In order.
        ahead: How many wait at most; 0: each is made when it is asked for.

    Yields:
        The items.
    """
    if not ahead:
        yield from map(make, keys)
        return
    left = iter(keys)
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        waiting = deque(thread.submit(make, key) for key in islice(left, ahead))
        while waiting:
            item = waiting.popleft().result()
            waiting.extend(thread.submit(make, key) for key in islice(left, 1))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


def feed_steps(
    draw: Callable[[int, int], Item], steps: Iterable[int], parts: range, device: torch.device
) -> Iterator[Iterator[Item]]:
    """Draws the micro-batches of every step, on a GPU ahead of it, and hands them to the device.

    A GPU copies them from pinned memory while it computes: nobody waits for a copy.

    Args:
        draw: Draws a micro-batch, of a step and a part of it alone.
        steps: In order.
        parts: Parts of a step that this process draws.
        device: Where the network works.

    Yields:
        A step's micro-batches on the device.
    """
    on_gpu = device.type == "cuda"

    def drawn(step: int) -> list[Item]:
        batches = [draw(step, part) for part in parts]
        if not on_gpu:
            return batches
        with torch.cuda.device(device):  # a thread begins with the first one
            return each_tensor(Tensor.pin_memory, batches)

    for batches in make_ahead(drawn, steps, AHEAD[device.type]):
        yield (
            each_tensor(lambda part: part.to(device, non_blocking=True), batch)
            for batch in batches
        )
