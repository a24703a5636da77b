"""The state of an optimizer that was switched or put back lies where a new optimizer of that kind has it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from bigmodel_lab.training.changing import change_optimizer
from bigmodel_lab.training.optimizer_state import load_optimizer_state
from bigmodel_lab.training.optimizers import MATRICES_ONLY, make_optimizer, optimizer_classes

CARD = "hpu:0"
"""A device that stand-ins can claim without one, and for which torch has fused and capturable optimizers."""
KINDS = ({}, {"foreach": True}, {"foreach": False}, {"fused": True}, {"capturable": True})
NO_STATE_BY_STEP = "lbfgs"  # its step needs a closure


def accepted(name: str) -> list[dict[str, bool]]:
    """The kinds of this optimizer."""
    weight = nn.Parameter(torch.zeros(2, 2))
    found = []
    for options in KINDS:
        try:
            optimizer_classes()[name]([weight], **options)
        except TypeError:
            continue
        found.append(options)
    return found


SWITCHES = [
    pytest.param(name, before, after, id=f"{name} {before} {after}")
    for name in optimizer_classes()
    if name != NO_STATE_BY_STEP
    for before, after in [*permutations(accepted(name), 2), *((kind, kind) for kind in accepted(name))]
]


@pytest.fixture(autouse=True)
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand-ins of another device than the CPU."""
    there = SimpleNamespace(current_device=lambda: 0, is_available=lambda: False)
    monkeypatch.setattr(torch, "hpu", there, raising=False)
    with FakeTensorMode():
        yield


def stepped(name: str, options: dict[str, bool]) -> torch.optim.Optimizer:
    """A new optimizer with its state, of a matrix and, where it takes one, of a single 16-bit number."""
    shapes = ((2, 2),) if name in MATRICES_ONLY else ((2, 2), ())
    weights = [nn.Parameter(torch.zeros(shape, device=CARD, dtype=torch.bfloat16)) for shape in shapes]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer = make_optimizer(name, weights, 0.1, options)
    try:
        optimizer.step()
    except (DataDependentOutputException, ModuleNotFoundError, RuntimeError) as error:
        # The state is there by then; a stand-in has no numbers to go on with, and this device no kernels.
        assert "hpu" in str(error) or "local_scalar" in str(error)  # noqa: PT017 (only these two may be passed over)
    return optimizer


def places(optimizer: torch.optim.Optimizer) -> list[dict[str, tuple[str, torch.dtype]]]:
    """Device and format of each state of each weight."""
    return [
        {name: (str(kept.device), kept.dtype) for name, kept in state.items() if isinstance(kept, Tensor)}
        for state in optimizer.state.values()
    ]


@pytest.mark.parametrize(("name", "before", "after"), SWITCHES)
def test_a_switch_leaves_the_state_where_a_new_optimizer_has_it(
    name: str, before: dict[str, bool], after: dict[str, bool]
) -> None:
    """All optimizers, each kind to each other and to itself: device and number format of every state."""
    switched = stepped(name, before)
    change_optimizer(switched, after)

    assert places(switched) == places(stepped(name, after))


@pytest.mark.parametrize(("name", "before", "after"), [one for one in SWITCHES if {"fused": True} in one.values])
def test_a_switch_tells_the_scaler_what_a_new_optimizer_tells(
    name: str, before: dict[str, bool], after: dict[str, bool]
) -> None:
    """Without fused kernels the scaler itself unscales, or the step would be made with scaled gradients."""
    switched = stepped(name, before)
    change_optimizer(switched, after)
    told, expected = (getattr(one, "_step_supports_amp_scaling", False) for one in (switched, stepped(name, after)))

    assert told == expected


@pytest.mark.parametrize("name", [name for name in optimizer_classes() if name != NO_STATE_BY_STEP])
def test_a_state_from_main_memory_comes_back_where_it_was(name: str) -> None:
    """As a checkpoint or a snapshot brings it: all of it lies on the CPU."""
    optimizer = stepped(name, {})
    before, state = places(optimizer), optimizer.state_dict()
    numbers = {number: _on_the_cpu(kept) for number, kept in state["state"].items()}
    load_optimizer_state(optimizer, {**state, "state": numbers})

    assert places(optimizer) == before


def _on_the_cpu(kept: dict[str, object]) -> dict[str, object]:
    return {name: value.to("cpu") if isinstance(value, Tensor) else value for name, value in kept.items()}
