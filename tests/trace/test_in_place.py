"""What CUDA's backward pass does in place is not counted twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.trace import Prepare, Prepared, trace_steps
from tests.trace.reading import made_by, peak_bytes, phase, trained

ROWS = 1000
SIZE = ROWS * ROWS * 4
"""Bytes of the weight, and of each gradient."""


class Weighted(nn.Module):
    """A function of one weight."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Args: the function of weight and batch."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ROWS, ROWS, device="meta"))
        self._function = function

    def forward(self, batch: Tensor) -> Tensor:
        """The function."""
        return self._function(self.weight, batch)


PLACES = torch.zeros(ROWS, 3, dtype=torch.int64, device="meta")


@pytest.mark.parametrize(
    "function",
    [
        lambda w, i: w.gather(1, i),
        lambda w, _: w.max(1)[0],
        lambda w, _: w.sort(1)[0],
        lambda w, _: w.topk(3)[0],
        lambda w, _: w.cummax(1)[0],
        lambda w, i: w.take(i),
    ],
)
def test_zeros_that_a_gradient_is_written_into_are_the_gradient(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """One allocation of the weight's size in each backward pass."""
    trace = trained(Weighted(function), PLACES)

    backward = [entry for entry in (trace.sequence[place] for place in phase(trace, "backward", 1)) if entry >= 0]

    assert sum(trace.allocations[entry].bytes == SIZE for entry in backward) == 1


def test_the_gradient_keeps_its_category() -> None:
    """Though its memory was asked for as zeros."""
    trace = trained(Weighted(lambda w, i: w.gather(1, i)), PLACES)

    assert [a.category for a in trace.allocations if a.bytes == SIZE] == ["parameter", "gradient", "gradient"]


def test_gradients_of_a_tensor_that_is_used_twice_add_up_in_place() -> None:
    """Two products are alive when their sum is made, and no third."""
    trace = trained(Weighted(lambda w, _: w * 2 + w * 3), PLACES)

    assert [a for a in made_by(trace, "aten.add") if a.category == "gradient"] != []
    assert peak_bytes(trace, phase(trace, "backward", 1)) <= 4 * SIZE


def test_gradients_of_several_micro_batches_add_up_in_place() -> None:
    """The second backward pass asks for one gradient and adds it to the first."""
    trace = trace_steps(nn.Linear(512, 512, bias=False), torch.empty(8, 512, device="meta"), accumulating(), steps=1)

    assert sum(a.bytes == 512 * 512 * 4 for a in trace.allocations) == 3


def accumulating() -> Prepare:
    """Two backward passes into the same gradients."""

    def prepare(model: nn.Module) -> Prepared:
        def step(batch: Tensor) -> None:
            for _ in range(2):
                model(batch).square().sum().backward()

        return Prepared(step)

    return prepare


def test_a_sum_of_a_program_is_no_such_sum() -> None:
    """In a backward pass written in Python the result is another tensor, as on CUDA."""

    class Summing(torch.autograd.Function):
        @staticmethod
        def forward(_: object, x: Tensor) -> Tensor:
            return x * 1

        @staticmethod
        def backward(_: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            own = gradient * 2
            return own.add(gradient)

    trace = trained(Weighted(lambda w, _: Summing.apply(w).square()), PLACES)  # type: ignore[no-untyped-call]

    assert len(made_by(trace, "aten.add")) == 2
    assert {a.category for a in made_by(trace, "aten.mul") if a.bytes == SIZE} >= {"temporary"}


def test_every_allocation_is_asked_for_once_and_given_back_at_most_once() -> None:
    """Whatever was joined."""
    trace = trained(Weighted(lambda w, i: w.gather(1, i).sum() * w + w.max(1)[0]), PLACES)
    asked = [entry for entry in trace.sequence if entry >= 0]
    given = [~entry for entry in trace.sequence if entry < 0]

    assert asked == list(range(len(trace.allocations)))
    assert len(given) == len(set(given))
    assert set(given) <= set(asked)
