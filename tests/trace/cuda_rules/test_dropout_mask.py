"""The mask of dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.trace.reading import after_forward, alive, made_by, ran, trained

X = torch.empty(8, 16)


def test_the_mask_is_one_byte_an_element() -> None:
    """128 bytes kept beside an output of 512."""
    model = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Dropout(0.1))
    trace = trained(model, X)
    kept = [
        (a.dtype, a.bytes, a.module)
        for a in alive(trace, after_forward(trace))
        if a.category == "activation" and a.bytes > 4
    ]

    assert kept == [("bool", 128, "1")]


@pytest.mark.parametrize(("p", "train"), [(0.5, False), (0.0, True)])
def test_no_mask_where_nothing_is_dropped(p: float, train: bool) -> None:
    """In evaluation, and at probability 0."""
    trace = ran(lambda model, x: F.dropout(x, p, train), X)

    assert [a for a in trace.allocations if a.dtype == "bool"] == []


def test_everything_dropped_keeps_no_mask_either() -> None:
    """At probability 1 the fused kernel is not taken."""
    assert made_by(ran(lambda model, x: F.dropout(x, 1.0, True), X), "aten.native_dropout") == []


@pytest.mark.parametrize("function", [F.dropout, torch.dropout, lambda x, p, train: nn.Dropout(p)(x)])
def test_all_ways_to_call_it(function: object) -> None:
    """The module, the function and torch's own name."""
    trace = ran(lambda model, x: function(x, 0.5, True), X)  # type: ignore[operator]

    assert [(a.dtype, a.bytes) for a in made_by(trace, "aten.native_dropout")] == [("bool", 128), ("float32", 512)]


def test_backward_multiplies_by_the_mask() -> None:
    """One tensor of the gradient's size."""
    x = torch.empty(8, 16, requires_grad=True)

    def forward(_: nn.Module, x: Tensor) -> None:
        F.dropout(x, 0.5).sum().backward()

    trace = ran(forward, x)

    assert [a.bytes for a in made_by(trace, "aten.native_dropout_backward")] == [512]
