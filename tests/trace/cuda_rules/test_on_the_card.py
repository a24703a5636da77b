"""Programs that say where tensors lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.trace.reading import ran

X = torch.empty(8, 16)
CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.zeros(4, 4, device="cuda"),
        lambda x: torch.empty((4, 4), device="cuda:1"),
        lambda x: torch.ones(4, 4, device=CUDA),
        lambda x: torch.full((4, 4), 2.0, device=torch.device("cuda", 0)),
        lambda x: torch.rand(4, 4, device="cuda"),
        lambda x: torch.randn(4, 4, device="cuda"),
        lambda x: torch.arange(16, device="cuda", dtype=torch.float32),
        lambda x: torch.zeros_like(x[:4, :4], device="cuda"),
        lambda x: torch.tensor([[1.0] * 4] * 4, device="cuda"),
        lambda x: x.new_zeros(4, 4, device="cuda"),
        lambda x: torch.eye(4, device="cuda"),
        lambda x: torch.linspace(0, 1, 16, device="cuda"),
    ],
)
def test_what_is_made_on_the_card_counts(make: Callable[[Tensor], Tensor]) -> None:
    """64 bytes beside the batch, in every way to say cuda."""
    assert [a.bytes for a in ran(lambda model, x: make(x), X).allocations] == [512, 64]


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x.cuda(),
        lambda x: x.cuda(0),
        lambda x: x.cuda("cuda:0", non_blocking=True),
        lambda x: x.to("cuda"),
        lambda x: x.to(CUDA),
        lambda x: x.to("cuda", non_blocking=True),
        lambda x: x.to(device="cuda:0"),
        lambda x: x.to(0),
        lambda x: x.to(CUDA, torch.float32),
    ],
)
def test_moving_to_the_card_what_is_there_costs_nothing(move: Callable[[Tensor], Tensor]) -> None:
    """The batch was loaded already."""
    assert len(ran(lambda model, x: move(x), X).allocations) == 1


@pytest.mark.parametrize(
    "move", [lambda t, x: t.to("cuda"), lambda t, x: t.cuda(), lambda t, x: t.to(x.device), lambda t, x: t.to(x)]
)
def test_a_tensor_of_the_host_that_is_moved_arrives(move: Callable[[Tensor, Tensor], Tensor]) -> None:
    """One that the program had before the trace, as a constant of a loss."""
    constant = torch.ones(32)

    assert [a.bytes for a in ran(lambda model, x: move(constant, x), X).allocations] == [512, 128]


def test_a_tensor_of_the_host_that_stays_there_does_not_count() -> None:
    """Nor what is computed of it."""
    constant = torch.ones(32)

    assert len(ran(lambda model, x: constant.to(torch.float64) + 1, X).allocations) == 1


def test_a_change_of_format_on_the_way_is_a_copy() -> None:
    """Half as large here."""
    assert [a.bytes for a in ran(lambda model, x: x.to("cuda", torch.float16), X).allocations] == [512, 256]


@pytest.mark.parametrize("move", [lambda m: m.cuda(), lambda m: m.to("cuda"), lambda m: m.to(CUDA)])
def test_moving_the_model_in_the_step_changes_nothing(move: Callable[[nn.Module], nn.Module]) -> None:
    """Many loops do it before the first step."""
    trace = ran(lambda model, x: move(model)(x), X, model=nn.Linear(16, 4))

    assert [a.category for a in trace.allocations[:3]] == ["parameter", "parameter", "input"]
    assert sum(a.category == "parameter" for a in trace.allocations) == 2


def test_tensors_say_that_they_are_on_the_card() -> None:
    """Programs that ask is_cuda take the way of the card."""
    seen: list[bool] = []
    ran(lambda model, x: seen.append(x.is_cuda), X)

    assert seen == [True]


@pytest.mark.parametrize(
    "make", [lambda: torch.zeros(()), lambda: torch.full((), 2.0), lambda: torch.tensor(3.0), lambda: torch.ones([])]
)
def test_a_number_without_a_device_lies_on_the_host(make: Callable[[], Tensor]) -> None:
    """So optimizers count their steps; what is computed with it is known, and no note is needed."""
    seen: list[float] = []

    def forward(_: nn.Module, _x: Tensor) -> None:
        number = make()
        number += 1
        seen.append(number.item())

    trace = ran(forward, X)

    assert len(trace.allocations) == 1
    assert trace.notes == ()
    assert seen[0] == make().item() + 1


def test_a_number_on_the_card_counts() -> None:
    """4 bytes, of which the allocator makes 512."""
    assert [a.bytes for a in ran(lambda model, x: torch.zeros((), device="cuda"), X).allocations] == [512, 4]
