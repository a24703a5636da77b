"""Gradients that meet at one tensor are added in the memory of the first, as on a card."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bigmodel_lab.trace._accumulation import usual_holders
from tests.trace.reading import made_by, ran


def additions(loss: Callable[[Tensor, Tensor], Tensor]) -> int:
    """New tensors made by additions in the backward pass of a loss of (x·2, weight)."""

    def run(_: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        x, weight = batch
        loss(x * 2, weight).backward()

    trace = ran(run, torch.empty(8, 16, requires_grad=True), torch.empty(8, 16))
    return len([a for a in made_by(trace, "aten.add") if a.category == "temporary"])


def test_two_ways_of_one_tensor_are_added_in_place() -> None:
    """As in a residual connection."""
    assert additions(lambda y, w: (y.sin() * w * (y.cos() * w)).sum()) == 0


def test_a_gradient_that_somebody_holds_is_left_alone() -> None:
    """A hook kept it: the sum has memory of its own."""
    kept: list[Tensor] = []

    def loss(y: Tensor, w: Tensor) -> Tensor:
        first, second = y.sin(), y.cos()
        y_from_second = second * w
        result = (first * w * y_from_second).sum()
        first.grad_fn.register_hook(lambda inputs, _: kept.extend(inputs))  # type: ignore[union-attr]
        second.grad_fn.register_hook(lambda inputs, _: kept.extend(inputs))  # type: ignore[union-attr]
        return result

    assert additions(loss) == 1


def test_one_gradient_for_two_inputs_is_not_added_into_itself() -> None:
    """Both inputs of an addition get the very same tensor: a second tensor beside that of the forward pass."""
    assert additions(lambda y, w: ((y + y) * w * w).sum()) == 2


def test_a_gradient_of_another_shape_in_memory_is_not_reused() -> None:
    """That of a sum is one number seen everywhere."""
    assert additions(lambda y, w: y.sum() + (y * w).sin().sum()) <= 1


def test_gradients_are_kept_where_their_graph_is() -> None:
    """A backward pass that shall be differentiated again adds beside."""

    def run(_: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        x, weight = batch
        y = x * 2
        torch.autograd.grad((y.sin() * weight * y.cos()).sum(), x, create_graph=True)

    trace = ran(run, torch.empty(8, 16, requires_grad=True), torch.empty(8, 16))

    assert len(made_by(trace, "aten.add")) == 1


def test_the_holders_of_a_free_gradient_are_counted_once() -> None:
    """On this torch."""
    assert usual_holders() is usual_holders()
