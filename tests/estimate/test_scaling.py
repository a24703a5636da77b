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


@pytest.mark.parametrize("name", ["simple_cnn", "transformer"])
def test_requests_alone_are_those_of_the_whole_trace(name: str) -> None:
    """Bytes, purpose and order; shapes are left out."""
    line = line_of(of_model(name))

    assert line is not None
    whole = line.at(THIRD)
    assert [replace(a, shape=()) for a in whole.allocations] == [
        replace(a, shape=()) for a in line.requests_at(THIRD).allocations
    ]
    assert line.requests_at(THIRD).sequence == whole.sequence


@pytest.mark.parametrize("name", ["simple_cnn", "transformer"])
@pytest.mark.parametrize("mebibytes", [100, 1000])
def test_no_more_samples_than_the_bound_hold_fewer_bytes(name: str, mebibytes: int) -> None:
    """One more sample holds more than there is room, without any rounding."""
    line = line_of(of_model(name))

    assert line is not None
    most = line.most_samples(mebibytes << 20)
    assert most is not None
    assert [held_at_most(line.requests_at(size)) <= mebibytes << 20 for size in (most, most + 1)] == [True, False]


def held_at_most(trace: RequestTrace) -> int:
    """Most bytes asked for and not yet given back."""
    held = most = 0
    for entry in trace.sequence:
        held += trace.allocations[entry].bytes if entry >= 0 else -trace.allocations[~entry].bytes
        most = max(most, held)
    return most


@pytest.mark.parametrize(("room", "bound"), [(99, 0), (100, None)])
def test_what_does_not_grow_has_no_bound_or_no_room(room: int, bound: int | None) -> None:
    """A weight alone."""
    weight = RequestTrace((Allocation(100, "parameter"),), (0,))
    line = ScalingTrace.between(weight, 1, weight, 2)

    assert line is not None
    assert line.most_samples(room) == bound


def test_a_first_step_is_foretold_to_its_last_request() -> None:
    """What is given back at its end, is given back later in two steps."""
    one = plan()
    line = line_of(one)
    first_step = replace(one, micro_batch_size=40).trace(steps=1)

    assert line is not None
    assert line.foretells(first_step, 40)
    assert line.foretells(replace(one, micro_batch_size=40).trace(), 40)
    assert not line.foretells(first_step, 41)
    assert not line.foretells(replace(first_step, sequence=first_step.sequence[1:]), 40)


def test_another_operation_of_the_same_size_is_not_foretold() -> None:
    """A program that goes another way."""
    small, large, other = (
        RequestTrace((Allocation(8, "activation", maker=name),), (0,)) for name in ("exp", "exp", "log")
    )
    line = ScalingTrace.between(small, 1, large, 2)

    assert line is not None
    assert line.foretells(small, 3)
    assert not line.foretells(other, 3)
