"""How far the reserved memory of one script lies apart."""

from __future__ import annotations

import pytest

from bigmodel_lab.estimate._range import reserved_range, stays_within
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 2**20
WEIGHT = Allocation(100 * MIB, "parameter", maker="load", dtype="float32", shape=(25 * MIB,))


def range_of(*others: Allocation) -> tuple[int, int]:
    """Of a weight and what is borrowed beside it."""
    numbers = range(1, len(others) + 1)
    trace = RequestTrace((WEIGHT, *others), (0, *numbers))
    return reserved_range(trace, replay(trace), AllocatorSettings())


def test_what_is_in_use_is_held() -> None:
    """Two percent above the replay; below it no less than the tensors themselves."""
    assert range_of() == (100 * MIB, 102 * MIB)


def test_below_the_replay_two_percent_of_what_is_not_in_use() -> None:
    """A tensor of 1.5 MiB has a segment of 20 MiB, so that 120 MiB are held for 101.5."""
    least, most = range_of(Allocation(3 * MIB // 2, "activation", dtype="float32"))

    assert (least, most) == (round(120 * MIB * 0.98), round(120 * MIB * 1.02))


def test_a_guessed_workspace_is_nothing_at_least_and_twice_at_most() -> None:
    """100 MiB with 20, with none and with 40."""
    least, most = range_of(Allocation(20 * MIB, "temporary", maker="cuDNN convolution workspace"))

    assert (least, most) == (100 * MIB, round(140 * MIB * 1.02))


@pytest.mark.parametrize(
    "maker", ["cuBLAS workspace", "cuBLASLt workspace", "flash attention: row sums", "embedding: sums of pieces"]
)
def test_workspaces_that_the_source_names_are_certain(maker: str) -> None:
    """Their size is written in PyTorch's source."""
    least, most = range_of(Allocation(20 * MIB, "temporary", maker=maker))

    assert (least, most) == (120 * MIB, round(120 * MIB * 1.02))


def test_the_replay_lies_inside() -> None:
    """Of the trace as it is."""
    others = (
        Allocation(7 * MIB, "temporary", maker="cuDNN workspace"),
        Allocation(3 * MIB, "activation", dtype="float32"),
    )
    trace = RequestTrace((WEIGHT, *others), (0, 1, 2))
    replayed = replay(trace)
    least, most = reserved_range(trace, replayed, AllocatorSettings())

    assert least < replayed.peak_reserved_bytes < most


def test_the_settings_of_the_allocator_count_in_every_replay() -> None:
    """Expandable segments hold pages of 20 MiB."""
    trace = RequestTrace((WEIGHT, Allocation(21 * MIB, "temporary", maker="cuDNN workspace")), (0, 1))
    least, most = reserved_range(trace, replay(trace), AllocatorSettings.parse("expandable_segments:True"))

    assert most > least
    assert most >= round(142 * MIB * 1.02)


@pytest.mark.parametrize(
    "others",
    [
        (),
        (Allocation(3 * MIB // 2, "activation", dtype="float32"),),
        (Allocation(20 * MIB, "temporary", maker="cuDNN convolution workspace"),),
        (
            Allocation(20 * MIB + 1, "temporary", maker="cuBLAS workspace"),
            Allocation(7 * MIB, "temporary", maker="cuDNN"),
        ),
    ],
)
def test_what_stays_within_is_what_the_range_ends_at(others: tuple[Allocation, ...]) -> None:
    """To the byte, with guessed workspaces and without."""
    trace = RequestTrace((WEIGHT, *others), tuple(range(len(others) + 1)))
    most = range_of(*others)[1]

    assert [stays_within(trace, most + more, AllocatorSettings()) for more in (-1, 0, 1)] == [False, True, True]
