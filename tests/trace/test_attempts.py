"""Programs that ask for values: which way they go, and what is refused with the line that asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import TraceError
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace._attempts import Caught
from tests.trace.reading import peak_bytes
from tests.trace.test_outside import stepped

X, LABELS = torch.zeros(8, 16), torch.zeros(8, dtype=torch.int64)
Guard = Callable[[Tensor, Tensor], Any]


def guarded(guard: Guard) -> RequestTrace:
    """A step that looks at its batch before it computes."""

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        guard(*batch)
        loss: Tensor = model(batch[0]).sum()
        return loss

    return stepped(step, batch=(X, LABELS))


def too_large(_: Tensor, y: Tensor) -> None:
    """The usual check of labels."""
    if y.max() >= 4:
        raise ValueError("label too large")


def outside(_: Tensor, y: Tensor) -> None:
    """Two questions in one line."""
    if y.min() < 0 or y.max() >= 4:
        raise ValueError("label outside")


def checked(x: Tensor, y: Tensor) -> None:
    """The same function for two questions of opposite sense."""

    def check(bad: Any) -> None:
        if bad:
            raise ValueError("bad")

    check(y.max() >= 4)
    check((x < 0).any())
    check(not (x >= 0).all())


def asked_before(x: Tensor, y: Tensor) -> None:
    """The question that matters is not the last one."""
    bad = bool(y.max() >= 4)
    other = bool((x > 0).all())
    if bad:
        raise ValueError(other)


def counted(_: Tensor, y: Tensor) -> None:
    """A number as a question."""
    if int((y < 0).sum()) > 0:
        raise ValueError("negative")


def as_if(_: Tensor, y: Tensor) -> None:
    """A number asked for yes or no."""
    if (y < 0).sum():
        raise ValueError("negative")


def not_a_number(x: Tensor, _: Tensor) -> None:
    """What gives up on a bad loss."""
    if torch.isnan(x.sum()):
        raise RuntimeError("NaN")
    if not torch.isfinite(x).all():
        raise RuntimeError("not finite")


def all_equal(x: Tensor, _: Tensor) -> None:
    """A whole comparison."""
    if not torch.equal(x, x + 0):
        raise RuntimeError("differ")


def asserted(x: Tensor, y: Tensor) -> None:
    """As a statement, and as torch's function."""
    assert (x >= 0).all()
    assert not (x < 0).any()
    torch._assert(y.max() < 4, "large")
    torch._assert(~(y.max() >= 4), "large")


@pytest.mark.parametrize(
    "guard", [too_large, outside, checked, asked_before, counted, as_if, not_a_number, all_equal, asserted]
)
def test_guards_do_not_raise(guard: Guard) -> None:
    """The way that goes through is found, and is the one without the guard; where it asked is said."""
    trace = guarded(guard)

    assert peak_bytes(trace) >= peak_bytes(guarded(lambda x, y: None))
    assert len(trace.notes) == 1
    assert re.search(r"at test_attempts\.py:\d+", trace.notes[0])


def test_a_check_that_no_answer_passes_is_refused_by_line() -> None:
    """Never with the user's own error, which is about values that nobody has."""

    def sizes(x: Tensor, y: Tensor) -> None:
        if x.shape[0] != int(y.sum()):
            raise ValueError("lengths do not add up")

    with pytest.raises(
        TraceError, match=r"test_attempts\.py:\d+.*ValueError: lengths do not add up.*without that check"
    ) as caught:
        guarded(sizes)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_error_that_no_value_caused_is_the_steps_own() -> None:
    """Shapes that do not fit, also after a number was read."""

    def wrong(x: Tensor, _: Tensor) -> None:
        x.sum().item()
        x @ x

    with pytest.raises(RuntimeError, match="reduction dim"):
        guarded(wrong)


def test_an_error_raised_without_looking_is_the_steps_own() -> None:
    """It is raised in training, too."""

    def mine(_x: Tensor, _y: Tensor) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        guarded(mine)


def test_of_two_ways_the_larger_is_counted() -> None:
    """A branch that is seldom taken may be the one that does not fit."""

    def branch(x: Tensor, _: Tensor) -> None:
        if (x > 3).any():
            x.repeat(1000, 1)

    assert peak_bytes(guarded(branch)) >= 1000 * 512


def of_a_test(x: Tensor) -> None:
    """Goes on while the answer is yes."""
    while x.norm() > 1e-3:
        x = x / 2


def of_a_negated_test(x: Tensor) -> None:
    """Would end at once by the usual answer."""
    while not (x < 1e-3).all():
        x = x / 2


def of_a_function(x: Tensor) -> None:
    """The question lies elsewhere."""

    def goes_on(value: Tensor) -> Tensor:
        return value.norm() > 1e-3

    while goes_on(x):
        x = x / 2


def of_a_number(x: Tensor) -> None:
    """A float in the test."""
    while x.norm().item() > 1e-3:
        x = x / 2


def of_a_break(x: Tensor) -> None:
    """For ever, but for the answer."""
    while True:
        x = x / 2
        if x.norm() < 0:
            continue


@pytest.mark.parametrize("loop", [of_a_test, of_a_negated_test, of_a_function, of_a_number, of_a_break])
def test_loops_that_end_by_a_value_are_refused_by_line(loop: Callable[[Tensor], None]) -> None:
    """After a bound, with the way around."""
    with pytest.raises(TraceError, match=r"The loop at test_attempts\.py:\d+ ends by a value.*fixed number of turns"):
        guarded(lambda x, y: loop(x))


def test_loops_with_an_end_of_their_own_may_look() -> None:
    """As often as they turn."""

    def steps(x: Tensor, _: Tensor) -> None:
        for turn in range(250):
            if x[0, 0] > turn:
                continue

    assert len(guarded(steps).notes) == 1


@pytest.mark.parametrize(
    "size",
    [
        lambda x, y: x[:, : int(y.max())].exp(),
        lambda x, y: x.new_zeros(y.max().item()),
        lambda x, y: [x + 1 for _ in range(int(y.sum()))],
    ],
)
def test_a_size_that_depends_on_a_value_is_refused_by_line(size: Guard) -> None:
    """1 in the place of the longest length would promise far too much."""
    with pytest.raises(TraceError, match=r"whole number of the card at test_attempts\.py:\d+.*x\.shape\[1\]"):
        guarded(size)


def test_a_number_that_changes_no_size_is_said() -> None:
    """As of a log."""
    trace = guarded(lambda x, y: (int(y.max()), float(x.mean())))

    assert ["1 stands for it" in note for note in trace.notes] == [True]


@pytest.mark.parametrize(
    "read", [lambda x, y: y.bincount(), lambda x, y: x.repeat_interleave(y, 0), lambda x, y: torch.linalg.lstsq(x, x)]
)
def test_refusals_name_the_line(read: Guard) -> None:
    """Of the user's own code."""
    with pytest.raises(TraceError, match=r"test_attempts\.py:\d+.*Estimate a step without it"):
        guarded(read)


def test_interruptions_are_not_kept() -> None:
    """Nor errors of this library."""
    with pytest.raises(KeyboardInterrupt), Caught():
        raise KeyboardInterrupt
    with pytest.raises(TraceError), Caught():
        raise TraceError


def test_errors_of_ways_that_are_not_taken_are_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    """Torch prints each error of an operation on stand-ins before it raises it."""

    def branch(x: Tensor, _: Tensor) -> None:
        if (x > 0).all():
            x @ x

    guarded(branch)

    assert caplog.records == []


def leaves(x: Tensor, y: Tensor) -> None:
    """As scripts give up."""
    if y.max() >= 4:
        sys.exit("label too large")


def alike(x: Tensor, _: Tensor) -> None:
    """A comparison within a tolerance."""
    if torch.allclose(x, x + 1):
        raise RuntimeError("the same batch twice")


def printed(x: Tensor, y: Tensor) -> None:
    """What programs print, and count on the host."""
    f"{x.mean():.4f} {x.mean():>8.2e} {y.sum():d} {x}"
    if (x.argmax(1).cpu().numpy() == y.cpu().numpy()).mean() > 2:
        raise ValueError("more than all are right")
    np.asarray(y.cpu()).sum()


@pytest.mark.parametrize("program", [leaves, alike, printed])
def test_values_read_in_other_ways_are_answered_too(program: Guard) -> None:
    """By an exit of the process, by a comparison of whole tensors, by printing, and as NumPy's."""
    assert "test_attempts.py" in guarded(program).notes[0]


def test_an_exit_that_no_answer_avoids_is_an_error_of_the_step() -> None:
    """It must not end the process that asks for an estimate."""

    def leaves_always(x: Tensor, _: Tensor) -> None:
        x.sum().item()
        sys.exit(3)

    with pytest.raises(TraceError, match="SystemExit: 3"):
        guarded(leaves_always)
