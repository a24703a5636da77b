"""The largest micro-batch, confirmed by traces."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._search import _between, _confirmed, _largest, largest_that_fits
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.estimate.plans import plan

MIB = 2**20
SETTINGS = AllocatorSettings()


def runs(one: Plan, size: int, usable_bytes: int) -> bool:
    """A trace at that size needs no more than 99 % of the memory."""
    trace = replace(one, micro_batch_size=size).trace()
    return replay(trace, CachingAllocator(SETTINGS, capacity_bytes=int(usable_bytes * 0.99))).stopped_at is None


@pytest.mark.parametrize(("usable_bytes", "precision"), [(40 * MIB, "fp32"), (64 * MIB, "bf16")])
def test_it_runs_at_the_answer_and_not_above(usable_bytes: int, precision: str) -> None:
    """Both by traces of their own."""
    one = plan(precision=precision)
    found = largest_that_fits(one, usable_bytes, SETTINGS)

    assert runs(one, found, usable_bytes)
    assert not runs(one, found + 1, usable_bytes)


def test_more_memory_takes_more_samples() -> None:
    """And a plan's own size does not matter."""
    sizes = [
        largest_that_fits(plan(micro_batch_size=own), usable, SETTINGS)
        for own, usable in ((1, 40 * MIB), (99, 40 * MIB), (1, 400 * MIB))
    ]

    assert sizes[0] == sizes[1] < sizes[2]


def test_nothing_fits_in_too_little() -> None:
    """Not even the workspaces of cuBLAS."""
    assert largest_that_fits(plan(), 4 * MIB, SETTINGS) == 0


def test_a_program_that_goes_another_way_is_searched_by_traces() -> None:
    """From 5 samples on it needs ten times as much."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = model(x if len(x) < 5 else x.repeat(10, 1)).sum()
        return out

    one = plan(lambda: nn.Linear(16, 2**16), step=step)
    found = largest_that_fits(one, 64 * MIB, SETTINGS)

    assert found == 0 or runs(one, found, 64 * MIB)
    assert not runs(one, found + 1, 64 * MIB)


def test_a_line_is_looked_for_among_larger_sizes_too() -> None:
    """Small ones go another way here; four traces find the line, two confirm the answer."""
    traced: list[int] = []

    def step(model: nn.Module, x: Tensor) -> Tensor:
        traced.append(len(x))
        out: Tensor = model(x if len(x) >= 8 else x + 1).sum()
        return out

    one = plan(step=step)
    found = largest_that_fits(one, 64 * MIB, SETTINGS)

    assert runs(one, found, 64 * MIB)
    assert len(set(traced)) <= 7


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 1000])
def test_the_largest_below_a_limit(limit: int) -> None:
    """By doubling and halving."""
    assert _largest(lambda size: size <= limit, 1) == limit


@pytest.mark.parametrize("guess", [0, 1, 5, 6, 7, 8, 100])
def test_a_wrong_guess_is_mended(guess: int) -> None:
    """Too small or too large, the answer is the same."""
    assert _confirmed(lambda size: size <= 7, guess) == 7 if guess else _confirmed(lambda size: size <= 0, guess) == 0


def test_a_good_guess_takes_two_traces() -> None:
    """It, and the next."""
    asked: list[int] = []

    assert _confirmed(lambda size: asked.append(size) or size <= 40, 40) == 40  # type: ignore[func-returns-value]
    assert asked == [40, 41]


def test_between_a_good_and_a_bad_size() -> None:
    """Each question halves what is left."""
    asked: list[int] = []

    assert _between(lambda size: asked.append(size) or size <= 700, 512, 1024) == 700  # type: ignore[func-returns-value]
    assert len(asked) == 9


def test_settings_of_the_allocator_count() -> None:
    """Expandable segments waste less, so that never fewer samples fit."""
    expandable = AllocatorSettings.parse("expandable_segments:True")

    assert largest_that_fits(plan(), 64 * MIB, expandable) >= largest_that_fits(plan(), 64 * MIB, SETTINGS)
    assert torch.is_grad_enabled()
