"""Stand-ins of models and batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from bigmodel_lab.trace._fake import batch_of_stand_ins, load_order, model_of_stand_ins, stand_in


@pytest.fixture
def mode() -> FakeTensorMode:
    """All stand-ins of one test belong to it."""
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_on_any_device(mode: FakeTensorMode, device: str) -> None:
    """Every weight and buffer has a stand-in, and none is shared with the model."""
    model = nn.BatchNorm1d(4, device=device)
    copied = model_of_stand_ins(model, mode)

    assert all(isinstance(t, FakeTensor) for t in [*copied.parameters(), *copied.buffers()])
    assert type(model.weight) is nn.Parameter
    assert model.weight.device.type == device
    assert isinstance(copied.weight, nn.Parameter)


def test_what_is_frozen_stays_frozen(mode: FakeTensorMode) -> None:
    """requires_grad, weight by weight."""
    model = nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    copied = model_of_stand_ins(model, mode)

    assert [p.requires_grad for p in copied.parameters()] == [False, True]


@pytest.mark.parametrize(
    ("tensor", "stride"),
    [
        (torch.empty(8, 10)[:, :3], (3, 1)),
        (torch.ones(1).expand(1000), (1,)),
        (torch.empty(4, 3).t(), (1, 3)),
        (torch.empty(2, 3, 4, 4).to(memory_format=torch.channels_last), (48, 1, 12, 3)),
    ],
)
def test_strides_are_those_of_a_copy(mode: FakeTensorMode, tensor: torch.Tensor, stride: tuple[int, ...]) -> None:
    """Order without gaps; as tensor.to(device) makes it."""
    with mode:
        made = stand_in(tensor)

    assert made.stride() == stride
    assert made.untyped_storage().nbytes() == tensor.numel() * 4


def test_a_tree_keeps_its_form(mode: FakeTensorMode) -> None:
    """And its gradients."""
    batch = batch_of_stand_ins({"x": [torch.ones(2, requires_grad=True)], "n": 3}, mode)

    assert isinstance(batch["x"][0], FakeTensor)
    assert batch["x"][0].requires_grad
    assert batch["n"] == 3


def test_load_order_is_that_of_the_hooks_of_apply() -> None:
    """Children first, as nn.Module._apply goes."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))
    moved: list[int] = []
    model._apply(lambda t: moved.append(id(t)) or t)  # type: ignore[func-returns-value]

    assert [id(tensor) for _, tensor in load_order(model)] == moved
