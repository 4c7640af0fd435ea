"""Items made ahead: in order, few at a time, errors where they belong."""

import threading
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from hemexp import prefetch
from hemexp.prefetch import each_tensor, feed_steps, make_ahead

CPU = torch.device("cpu")


@pytest.mark.parametrize("ahead", [0, 1, 3, 20])
def test_items_come_in_order_and_an_error_where_its_item_is(ahead):
    def make(key):
        if key == 7:
            raise ValueError("seven")
        return key * key

    items = make_ahead(make, range(10), ahead)
    assert [next(items) for _ in range(7)] == [key * key for key in range(7)]
    with pytest.raises(ValueError, match="seven"):
        next(items)


def test_no_more_items_are_made_than_asked_and_none_after_the_end():
    made, main = [], threading.get_ident()
    due = threading.Semaphore(0)

    def make(key):
        made.append((key, threading.get_ident()))
        due.release()
        return key

    items = make_ahead(make, range(100), 2)
    assert next(items) == 0
    for _ in range(3):
        due.acquire(timeout=10)
    assert not due.acquire(timeout=0.05)  # 0 is in use, 1 and 2 wait
    items.close()
    assert [key for key, _ in made] == [0, 1, 2]
    assert main not in {thread for _, thread in made}
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


class Pair(NamedTuple):
    first: object
    second: object


@dataclass(frozen=True)
class Held:
    value: object


def test_each_tensor_is_reached_wherever_it_is():
    one = torch.ones(())
    given = [Pair(one, None), (Held(one), Held(Pair(one, one)))]
    done = each_tensor(lambda part: part + 1, given)
    assert done == [Pair(2, None), (Held(2), Held(Pair(2, 2)))]
    assert type(done[1]) is tuple and type(done[0]) is Pair


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_step_gets_its_own_micro_batches(ahead, monkeypatch):
    monkeypatch.setitem(prefetch.AHEAD, "cpu", ahead)

    def draw(step, part):
        return Pair(torch.tensor(step), torch.tensor(part))

    fed = feed_steps(draw, range(3, 6), range(1, 4, 2), CPU)
    drawn = [[(int(a), int(b)) for a, b in batches] for batches in fed]
    assert drawn == [[(step, 1), (step, 3)] for step in (3, 4, 5)]
