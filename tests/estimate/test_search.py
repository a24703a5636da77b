"""The largest micro-batch, confirmed by traces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._range import reserved_range
from bigmodel_lab.estimate._search import (
    _between,
    _confirmed,
    _downwards,
    _expected,
    _largest,
    _largest_below,
    largest_that_fits,
)
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.estimate.plans import plan

MIB = 2**20
SETTINGS = AllocatorSettings()


def runs(one: Plan, size: int, usable_bytes: int, settings: AllocatorSettings = SETTINGS) -> bool:
    """The upper end of the reserved range of a whole trace at that size is within the memory."""
    trace = replace(one, micro_batch_size=size).trace()
    return reserved_range(trace, replay(trace, CachingAllocator(settings)), settings)[1] <= usable_bytes


def wide(step: Any = None) -> Plan:
    """A plan whose requests grow by a line."""
    return plan(lambda: nn.Linear(16, 2**15), optimizer="sgd", **({} if step is None else {"step": step}))


class Convolutions(nn.Module):
    """Of sixteen numbers as four by four, with statistics of the batch; their workspaces are guessed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 3))

    def forward(self, x: Tensor) -> Tensor:
        """One number for each channel."""
        out: Tensor = self.layers(x.reshape(-1, 1, 4, 4)).mean((2, 3))
        return out


def staged(model: nn.Module, x: Tensor) -> Tensor:
    """A buffer grows by steps of seven samples, beside what grows by a line."""
    out: Tensor = model(x).sum() + x.new_ones(-(-len(x) // 7) * 2**16).exp().sum()
    return out


@pytest.mark.parametrize(("usable_bytes", "precision"), [(40 * MIB, "fp32"), (64 * MIB, "bf16")])
def test_it_runs_at_the_answer_and_not_above(usable_bytes: int, precision: str) -> None:
    """Both by traces of their own; one percent above, as staging buffers of reductions do not grow by a line."""
    one = plan(precision=precision)
    found = largest_that_fits(one, usable_bytes, SETTINGS)

    assert runs(one, found, usable_bytes)
    assert not runs(one, found + found // 100 + 1, usable_bytes)


@pytest.mark.parametrize(
    ("one", "usable_bytes"),
    [
        (plan(lambda: nn.Linear(16, 2**15), optimizer="sgd"), 50 * MIB),
        (plan(lambda: nn.Linear(16, 2**15), samples=1, precision="bf16"), 60 * MIB),
        (plan(lambda: nn.Linear(16, 2**15), gradient_accumulation_steps=2, optimizer="sgd"), 60 * MIB),
        (plan(lambda: nn.Linear(16, 2**16), is_training=False), 60 * MIB),
        (
            plan(lambda: nn.Sequential(nn.Linear(16, 2**15), nn.Softmax(-1)), optimizer="sgd", precision="fp16"),
            60 * MIB,
        ),
        (plan(Convolutions, samples=2), 40 * MIB),  # 1,024 samples leave fewer gaps than 918 do
        (plan(lambda: nn.Linear(16, 2**17), step=staged, optimizer="sgd"), 90 * MIB),
    ],
)
def test_the_answer_is_that_of_a_search_by_whole_traces(one: Plan, usable_bytes: int) -> None:
    """Size by size, by doubling and halving, without any line."""
    every = _largest(lambda size: runs(one, size, usable_bytes), 1)

    assert every > 0
    assert largest_that_fits(one, usable_bytes, SETTINGS, known=one.trace()) == every


def test_two_traces_are_enough_where_one_is_known() -> None:
    """One near the answer for the line, and the first step at the answer; each is announced with its number."""
    heard: list[tuple[int, int, int]] = []
    one = wide(step=lambda model, x: model(x)[:, 0].sum())
    found = largest_that_fits(one, 50 * MIB, SETTINGS, known=one.trace(), report=lambda *now: heard.append(now))
    about = heard[0][0]

    assert heard == [(about, 1, 2), (found, 2, 2)]
    assert found / 2 < about < 2 * found


def test_where_the_line_is_wrong_it_is_drawn_anew_at_the_answer() -> None:
    """Large sizes take a buffer that the known one does without: two traces near the answer see it, and few more are made."""
    traced: list[int] = []

    def step(model: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = model(x + 1 if len(x) > 16 else x).sum()
        return out

    one = wide(step=step)
    found = largest_that_fits(one, 50 * MIB, SETTINGS, known=one.trace(), report=lambda size, *_: traced.append(size))

    assert 2 < len(traced) <= 4
    assert runs(one, found, 50 * MIB)
    assert not runs(one, found + 1, 50 * MIB)


@pytest.mark.parametrize("limit", [*range(12), 230])
def test_downwards(limit: int) -> None:
    """From an upper bound that is near."""
    bounds = (limit, limit + 1, limit + 2, limit + 14)

    assert [_downwards(lambda size: size <= limit, most) for most in bounds] == [limit] * len(bounds)


def test_how_many_samples_a_room_is_about_for() -> None:
    """Weights stay and workspaces, too; of a program without anything that grows more are looked at, not all that there are."""
    weight, workspace = Allocation(100, "parameter", dtype="float32"), Allocation(50, "temporary", maker="workspace")
    grows = Allocation(80, "activation", dtype="float32")

    assert _expected(RequestTrace((weight, workspace, grows), (0, 1, 2, ~2, ~1)), 8, 350) == 20
    assert _expected(RequestTrace((weight, workspace), (0, 1)), 8, 350) == 32
    assert _expected(RequestTrace((weight, grows), (0, 1)), 8, 90) == 1


def test_a_known_trace_that_went_another_way_is_not_believed() -> None:
    """Its one request would let any size run."""
    known = RequestTrace((), ())

    assert largest_that_fits(plan(), 64 * MIB, SETTINGS, known=known) == largest_that_fits(plan(), 64 * MIB, SETTINGS)


def test_guessed_workspaces_count_twice() -> None:
    """As at the upper end of the range: fewer samples are promised than run where cuDNN takes what is expected."""
    one = plan(Convolutions, samples=2)
    found = largest_that_fits(one, 400 * MIB, SETTINGS)
    trace = replace(one, micro_batch_size=found + 2).trace()

    assert replay(trace).peak_reserved_bytes * 1.02 < 400 * MIB


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
        out: Tensor = model(x if len(x) >= 8 else x + 1)[:, 0].sum()
        return out

    one = wide(step=step)
    found = largest_that_fits(one, 50 * MIB, SETTINGS, report=lambda size, *_: traced.append(size))

    assert runs(one, found, 50 * MIB)
    assert 4 <= len(traced) <= 7


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 1000])
def test_the_largest_below_a_limit(limit: int) -> None:
    """By doubling and halving."""
    assert _largest(lambda size: size <= limit, 1) == limit


@pytest.mark.parametrize("most", [*range(12), 63, 64, 65, 1000, 10**6])
def test_the_largest_below_a_bound(most: int) -> None:
    """Wherever below it the answer is."""
    answers = {0, 1, 2, most // 3, most - 1, most} & set(range(most + 1))

    assert all(_largest_below(lambda size, limit=limit: size <= limit, most) == limit for limit in answers)  # type: ignore[misc]


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

    assert largest_that_fits(wide(), 64 * MIB, expandable) >= largest_that_fits(wide(), 64 * MIB, SETTINGS) > 0
    assert torch.is_grad_enabled()
