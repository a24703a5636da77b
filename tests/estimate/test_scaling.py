"""From two traces to any micro-batch, against real traces."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bigmodel_lab.estimate._models import resolve_model
from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._scaling import ScalingTrace
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.models import MODELS
from tests.estimate.plans import plan

FIRST, OTHER, THIRD = 2, 3, 5


def of_model(name: str) -> Plan:
    """A documented model as it is trained."""
    source = resolve_model(name)
    assert source.example is not None
    assert source.loss is not None
    return Plan(
        source, source.loss, source.example(FIRST), FIRST, optimizer="sgd", precision=source.defaults["precision"]
    )


def line_of(one: Plan) -> ScalingTrace | None:
    """Through traces at two and three samples."""
    small, large = (replace(one, micro_batch_size=size).trace() for size in (FIRST, OTHER))
    return ScalingTrace.between(small, FIRST, large, OTHER)


@pytest.mark.parametrize("name", MODELS.names())
def test_a_third_size_is_exactly_as_traced(name: str) -> None:
    """Every documented model: each request, its bytes, shape, purpose and order."""
    one = of_model(name)
    line = line_of(one)

    assert line is not None
    assert line.at(THIRD) == replace(one, micro_batch_size=THIRD).trace()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_formats_scale_too(precision: str) -> None:
    """Casts and scaler included."""
    one = plan(precision=precision, micro_batch_size=FIRST)
    line = line_of(one)

    assert line is not None
    assert line.at(20) == replace(one, micro_batch_size=20).trace()


def test_the_two_sizes_themselves_are_the_traces() -> None:
    """Not a copy."""
    line = line_of(plan())

    assert line is not None
    assert line.at(FIRST) is line.first
    assert line.at(OTHER) is line.other


def test_one_sample_lies_on_the_line() -> None:
    """Below both sizes."""
    one = plan(lambda: nn.Sequential(nn.Linear(16, 4), nn.ReLU()))
    line = line_of(one)

    assert line is not None
    assert [a.bytes for a in line.at(1).allocations] == [
        a.bytes for a in replace(one, micro_batch_size=1).trace().allocations
    ]


def test_a_program_that_goes_another_way_has_no_line() -> None:
    """Here for batches of more than two."""

    def step(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return model(x).sum() if len(x) <= 2 else model(x).exp().sum()

    assert line_of(plan(step=step)) is None


def test_the_same_order_with_other_operations_is_another_way() -> None:
    """The sequence of numbers alone could be equal by chance."""
    small = RequestTrace((Allocation(4, "activation", maker="aten.exp"),), (0,))
    large = RequestTrace((Allocation(8, "activation", maker="aten.log"),), (0,))

    assert ScalingTrace.between(small, 1, large, 2) is None


def test_bytes_are_never_negative() -> None:
    """What shrinks with the batch ends at nothing."""
    small, large = (RequestTrace((Allocation(size, "temporary"),), (0,)) for size in (100, 40))
    line = ScalingTrace.between(small, 1, large, 2)

    assert line is not None
    assert line.at(10).allocations[0].bytes == 0
