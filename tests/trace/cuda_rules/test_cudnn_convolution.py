"""Copies into the layout of cuDNN's kernels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Target
from tests.trace.reading import lifetime, made_by, ran, trained

X = torch.empty(4, 8, 6, 6)
CONVOLUTION = nn.Conv2d(8, 16, 3, padding=1, bias=False)
INPUT, OUTPUT, WEIGHT = 4 * 8 * 36 * 4, 4 * 16 * 36 * 4, 16 * 8 * 9 * 4
LABEL = "cudnn convolution workspace"


def workspaces(trace: RequestTrace) -> list[int]:
    """Bytes of each."""
    return [a.bytes for a in trace.allocations if a.maker.lower() == LABEL]


def test_forward_copies_input_weight_and_output() -> None:
    """There and back."""
    assert workspaces(ran(lambda model, x: model(x), X, model=CONVOLUTION)) == [INPUT + WEIGHT + OUTPUT]


def test_backward_copies_them_again() -> None:
    """Gradient of the output, input and weight."""
    trace = trained(nn.Sequential(CONVOLUTION), X)

    assert workspaces(trace) == [INPUT + WEIGHT + OUTPUT] * 4  # two steps


def test_it_is_given_back_when_the_operation_ends() -> None:
    """Gone before anything else is asked for."""
    trace = ran(lambda model, x: model(x) + 1, X, model=CONVOLUTION)
    _, death = lifetime(trace, next(a for a in trace.allocations if a.maker.lower() == LABEL))
    birth_of_sum, _ = lifetime(trace, made_by(trace, "aten.add")[0])

    assert death is not None
    assert death < birth_of_sum


def test_channels_last_copies_nothing() -> None:
    """The batch lies as the kernels want it."""
    assert workspaces(ran(lambda model, x: model(x), X.to(memory_format=torch.channels_last), model=CONVOLUTION)) == []


@pytest.mark.parametrize(
    ("capability", "dtype", "copies"),
    [
        ((6, 0), torch.float32, False),
        ((7, 5), torch.float32, False),
        ((7, 5), torch.float16, True),
        ((8, 0), torch.float32, True),
    ],
)
def test_only_tensor_cores_want_another_layout(capability: tuple[int, int], dtype: torch.dtype, copies: bool) -> None:
    """fp16 from Volta on, TF32 from Ampere on."""
    trace = ran(
        lambda model, x: model(x),
        X.to(dtype),
        model=nn.Conv2d(8, 16, 3, padding=1, bias=False).to(dtype),
        target=Target(capability),
    )

    assert bool(workspaces(trace)) == copies


def test_few_channels_take_other_kernels() -> None:
    """The three colours of an image."""
    trace = ran(lambda model, x: model(x), torch.empty(4, 3, 6, 6), model=nn.Conv2d(3, 16, 3))

    assert workspaces(trace) == []
    assert len(made_by(trace, "aten.convolution")) == 1
