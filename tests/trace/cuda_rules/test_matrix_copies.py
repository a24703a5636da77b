"""Operands that cuBLAS cannot read are copied before they are multiplied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.trace.reading import made_by, ran, trained

SIZE = 64 * 64 * 4
LABEL = "operand whose rows lie together"


def copied(function: Callable[[Tensor], Tensor], *shape: int) -> list[int]:
    """Bytes of the copies of one product."""
    trace = ran(lambda _, x: function(x), torch.empty(shape, device="meta"))
    return [a.bytes for a in made_by(trace, LABEL)]


@pytest.mark.parametrize(
    "function", [lambda x: x @ x, lambda x: x.t() @ x, lambda x: x[:32] @ x, lambda x: x[:, :32] @ x[:32]]
)
def test_rows_or_columns_that_lie_together_are_read_as_they_are(function: Callable[[Tensor], Tensor]) -> None:
    """Transposed, and with gaps between the rows, too."""
    assert copied(function, 64, 64) == []


@pytest.mark.parametrize(
    ("function", "count"), [(lambda x: x[:, ::2].t() @ x, 1), (lambda x: x[:1, :1].expand(64, 64) @ x, 2)]
)
def test_others_are_copied(function: Callable[[Tensor], Tensor], count: int) -> None:
    """Every second column; one number for all."""
    assert copied(function, 64, 64) == [SIZE * count // 2]


def test_the_gradient_of_a_plain_sum_is_one_number_for_all() -> None:
    """The product for the weight's gradient needs it written out, as a card's allocator history shows."""
    trace = trained(nn.Linear(64, 64, bias=False), torch.empty(64, 64, device="meta"))

    assert [a.bytes for a in made_by(trace, LABEL)] == [SIZE, SIZE]
