"""The random numbers of a run, while somebody asks its model in between."""

from __future__ import annotations

import random

import numpy as np
import torch

from bigmodel_lab.training.randomness import Randomness, SharedRandomness


def drawn(seed: int, count: int) -> torch.Tensor:
    """What a run with this seed draws."""
    with Randomness(seed, "cpu").in_use():
        return torch.rand(count)


def test_the_persons_numbers_return():
    """What torch draws after a run does not depend on the run."""
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    drawn(1, 10)

    assert torch.equal(torch.rand(2), expected)


def test_borrowed_numbers_leave_no_trace():
    """A run draws the same, whether it was judged in between or not."""
    mine = Randomness(1, "cpu")
    with mine.in_use():
        first = torch.rand(2)
    with mine.borrowed():
        torch.rand(7)
    with mine.in_use():
        second = torch.rand(2)

    assert torch.equal(torch.cat((first, second)), drawn(1, 4))


def test_a_paused_run_may_be_judged():
    """Borrowed while in use, as a paused run is: it goes on with the numbers that it would have drawn."""
    mine = Randomness(1, "cpu")
    with mine.in_use():
        first = torch.rand(2)
        with mine.borrowed():
            torch.rand(7)
        second = torch.rand(2)

    assert torch.equal(torch.cat((first, second)), drawn(1, 4))


def test_the_state_after_judging_a_paused_run_is_the_live_one():
    """A checkpoint that is written afterwards goes on from where the run stands, not from where it began."""
    mine = Randomness(1, "cpu")
    with mine.in_use():
        torch.rand(2)
        with mine.borrowed():
            torch.rand(7)
        state = mine.state()
        expected = torch.rand(3)
    other = Randomness(9, "cpu")
    other.load_state(state)
    with other.in_use():
        found = torch.rand(3)

    assert torch.equal(found, expected)


def test_shared_numbers_can_be_drawn_again():
    """What a loop of someone else's draws from torch, NumPy and Python comes a second time."""
    shared = SharedRandomness("cpu")
    before = shared.state()

    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002 (as people's code draws)

    first = draw()
    shared.put(before)

    assert draw() == first
