"""A trial makes whole steps under a cap, reads their peaks, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.tips._real_trials import RealTrials, Step, capacity_of, capped
from bigmodel_lab.training.device_memory import Peaks, UnknownMemory

GIB = 2**30


class FakeMemory(UnknownMemory):
    """Tells what it is told to, and notes what is asked of it."""

    def __init__(self, capacity: int = 10 * GIB) -> None:
        self.capacity, self.peak, self.held, self.retries = capacity, 0, 0, 0
        self.asked: list[Any] = []

    def capacity_bytes(self) -> int | None:
        """As it was made."""
        return self.capacity

    def in_use(self) -> Peaks | None:
        """What stays."""
        return Peaks(self.held, 0)

    def peaks(self) -> Peaks | None:
        """Of the step that ran last."""
        return Peaks(0, self.peak)

    def alloc_retries(self) -> int:
        """So far."""
        return self.retries

    def reset_peaks(self) -> None:
        """Begin to count."""
        self.asked.append("reset")
        self.peak = 0

    def empty_cache(self) -> None:
        """Noted."""
        self.asked.append("empty")

    def clear_workspaces(self) -> None:
        """Noted."""
        self.asked.append("workspaces")

    def set_fraction(self, share: float | None) -> None:
        """Noted."""
        self.asked.append(share)


class FakeLoop:
    """Each step does what it is told to."""

    def __init__(self, memory: FakeMemory, act: Callable[[int, int], None] | None = None, skipped: int = 0) -> None:
        self.memory, self.act, self.skipped = memory, act, skipped
        self.steps, self.let_gone = 0, 0

    def step_of(self, size: int) -> Step:
        """Peaks at so many bytes as samples, and one more for each step."""

        def step() -> None:
            self.steps += 1
            self.memory.peak = size + self.steps
            if self.act is not None:
                self.act(size, self.steps)

        return step

    def has_stepped(self) -> bool:
        """After those that a scaler skips."""
        return self.steps > self.skipped

    def let_go(self) -> None:
        """Noted."""
        self.let_gone += 1


def trials(loop: FakeLoop, *, simulated: bool = False, start_over: Callable[[], None] = lambda: None) -> RealTrials:
    """On the CPU, with fake memory."""
    return RealTrials(loop, loop.memory, device="cpu", simulated=simulated, start_over=start_over)


def out_of_memory(size: int, step: int) -> None:
    """As CUDA says it."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_the_step_in_which_state_is_born_is_not_counted() -> None:
    """It has less of it than those that follow."""
    loop = FakeLoop(FakeMemory())
    measured = trials(loop)(100, 3)

    assert measured is not None
    assert (measured.peaks_bytes, loop.steps) == ((102, 103), 3)


def test_a_single_step_is_two() -> None:
    """One has to be measured."""
    loop = FakeLoop(FakeMemory())
    trials(loop)(100, 1)

    assert loop.steps == 2


def test_steps_that_a_scaler_skips_are_made_again() -> None:
    """The optimizer's state is not born in them."""
    loop = FakeLoop(FakeMemory(), skipped=4)
    measured = trials(loop)(100, 3)

    assert measured is not None
    assert measured.peaks_bytes == (106, 107)


def test_a_scaler_that_skips_every_step_is_an_error() -> None:
    """Memory without an optimizer's state would promise too much."""
    with pytest.raises(ConfigError, match="skipped 24 steps in turn"):
        trials(FakeLoop(FakeMemory(), skipped=1000))(100, 3)


def test_too_little_memory_is_no_error() -> None:
    """It is the answer of the trial."""
    assert trials(FakeLoop(FakeMemory(), out_of_memory))(100, 2) is None


def test_after_too_little_memory_everything_is_let_go() -> None:
    """Before the trial, and behind it."""
    loop = FakeLoop(FakeMemory(), out_of_memory)
    trials(loop)(100, 2)

    assert loop.let_gone == 2
    assert loop.memory.asked[-3:] == ["workspaces", "empty", "reset"]


def test_another_error_is_the_persons() -> None:
    """A loop that does not run has no batch size."""

    def fail(size: int, step: int) -> None:
        raise RuntimeError("shape '[2, 3]' is invalid")

    loop = FakeLoop(FakeMemory(), fail)
    with pytest.raises(RuntimeError, match="is invalid"):
        trials(loop)(100, 2)

    assert loop.let_gone == 2


def one_is_too_few(size: int, step: int) -> None:
    """As PyTorch's batch norm says it."""
    raise ValueError("Expected more than 1 value per channel when training, got input size torch.Size([1, 4])")


def test_one_sample_without_statistics_is_explained() -> None:
    """Batch norm needs two."""
    with pytest.raises(ConfigError, match="batch norm needs at least 2 samples"):
        trials(FakeLoop(FakeMemory(), one_is_too_few))(1, 2)


def test_the_same_words_at_other_sizes_are_the_persons() -> None:
    """There the model is at fault."""
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        trials(FakeLoop(FakeMemory(), one_is_too_few))(2, 2)


def test_each_trial_starts_over() -> None:
    """Without the optimizer's state of the one before."""
    began: list[int] = []
    loop = FakeLoop(FakeMemory())
    run = trials(loop, start_over=lambda: began.append(loop.steps))
    run(100, 2)
    run(200, 2)

    assert began == [0, 2]


def test_the_cache_given_back_for_a_request_is_noticed() -> None:
    """Only what happened in this trial."""
    memory = FakeMemory()
    memory.retries = 7

    def strain(size: int, step: int) -> None:
        memory.retries += 1

    measured = trials(FakeLoop(memory, strain))(100, 3)

    assert measured is not None
    assert measured.retries == 3


def test_what_stays_is_read_when_the_batch_is_gone() -> None:
    """Weights and state."""
    memory = FakeMemory()
    memory.held = 77
    measured = trials(FakeLoop(memory))(100, 2)

    assert measured is not None
    assert measured.held_bytes == 77


def test_the_batch_is_gone_by_then() -> None:
    """Nothing holds the step, and so nothing its batch."""
    loop = FakeLoop(FakeMemory())
    alive: list[object] = []

    class Step_:  # noqa: N801 (a step that can be watched)
        def __call__(self) -> None:
            loop.steps += 1

        def __del__(self) -> None:
            alive.remove("batch")

    def step_of(size: int) -> Step:
        alive.append("batch")
        return Step_()

    loop.step_of = step_of  # type: ignore[method-assign]
    seen: list[int] = []
    loop.memory.in_use = lambda: seen.append(len(alive)) or Peaks(0, 0)  # type: ignore[method-assign, func-returns-value]
    trials(loop)(100, 2)

    assert seen == [0]


def test_a_step_takes_its_fastest_time() -> None:
    """Whatever else the machine did meanwhile."""
    measured = trials(FakeLoop(FakeMemory()))(100, 5)

    assert measured is not None
    assert measured.seconds is not None
    assert 0 < measured.seconds < 1


def test_a_simulated_card_has_no_time() -> None:
    """The CPU's says nothing about it."""
    measured = trials(FakeLoop(FakeMemory()), simulated=True)(100, 2)

    assert measured is not None
    assert measured.seconds is None


def test_memory_that_nobody_knows_is_0() -> None:
    """As of a device that tells nothing; it has no capacity to be compared with."""
    memory = FakeMemory()
    memory.peaks = lambda: None  # type: ignore[method-assign]
    memory.in_use = lambda: None  # type: ignore[method-assign]
    measured = trials(FakeLoop(memory))(100, 2)

    assert measured is not None
    assert (measured.peaks_bytes, measured.held_bytes) == ((0,), 0)


@pytest.mark.parametrize(
    ("total", "others", "asked", "capacity"),
    [
        (16, 0, None, 10),  # alone: all that is free
        (16, 2, None, 9),  # beside others 1 GiB stays free
        (80, 2, None, 6),  # or 5 %, where that is more
        (16, 0, 4, 4),  # what was asked for
        (16, 0, 40, 10),  # is no more than there is
        (16, 2, 40, 9),
        (400, 2, None, 0),  # never less than nothing
    ],
)
def test_what_the_steps_may_take(total: int, others: int, asked: int | None, capacity: int) -> None:
    """Of a card with 10 GiB free, in GiB."""
    asked_bytes = None if asked is None else asked * GIB

    assert capacity_of(FakeMemory(), total * GIB, others * GIB, asked_bytes) == capacity * GIB


def test_an_unknown_capacity_is_none() -> None:
    """The CPU has no limit that could be found."""
    assert capacity_of(UnknownMemory(), GIB, 0, None) == 0


def test_a_cap_is_in_force_inside_and_gone_afterwards() -> None:
    """So that a mistake is a clean error and harms nobody."""
    memory = FakeMemory()
    with capped(memory, 4 * GIB, 16 * GIB):
        inside = list(memory.asked)

    assert inside == [0.25]
    assert memory.asked[1:] == ["empty", None, "reset"]


def test_a_cap_that_the_person_had_comes_back() -> None:
    """It is theirs."""
    memory = FakeMemory()
    with capped(memory, 4 * GIB, 16 * GIB, before=0.5):
        pass

    assert 0.5 in memory.asked


def test_a_cap_is_at_most_the_whole_card() -> None:
    """PyTorch takes no more than 1."""
    memory = FakeMemory()
    with capped(memory, 17 * GIB, 16 * GIB):
        pass

    assert memory.asked[0] == 1.0


@contextmanager
def failing(memory: FakeMemory) -> Any:
    """A cap whose block breaks off."""
    with capped(memory, GIB, 16 * GIB):
        yield
        raise KeyError


def test_a_cap_is_gone_after_an_error() -> None:
    """As if there had been none."""
    memory = FakeMemory()
    with pytest.raises(KeyError), failing(memory):
        memory.asked.clear()

    assert memory.asked == ["empty", None, "reset"]
