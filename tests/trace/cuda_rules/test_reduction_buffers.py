"""The buffer in which blocks of threads meet, against what PyTorch's own CUDA code asked for on emulated cards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.memory.cards import card
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Target
from tests.trace.reading import peak_bytes, ran, trained

FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
COLUMNS = (4096, 4096), (0,)


def asked(trace: RequestTrace) -> tuple[int, ...]:
    """Bytes of buffers and counters."""
    return tuple(a.bytes for a in trace.allocations if a.maker == "reduction buffer")


def reduced(gpu: str, x: Tensor, dims: tuple[int, ...], operation: str = "sum") -> tuple[int, ...]:
    """What one reduction asks for beside its result."""
    run = getattr(torch, operation)
    return asked(ran(lambda _, given: run(given, dims), x, target=Target.of(card(gpu))))


@pytest.mark.parametrize(
    ("gpu", "shape", "dims", "kind", "expected"),
    [
        ("T4", *COLUMNS, (FP32, "sum"), (20_971_520, 128)),
        ("A100-80", *COLUMNS, (FP32, "sum"), (113_246_208, 128)),
        ("H200", *COLUMNS, (FP32, "sum"), (134_217_728, 128)),
        ("H200", *COLUMNS, (BF16, "sum"), (134_217_728, 128)),
        ("T4", (4096, 1000), (0,), (FP32, "sum"), (20_480_000, 32)),
        ("A100-80", (4096, 1000), (0,), (FP32, "sum"), (32_768_000, 32)),
        ("T4", (64, 100_000), (0, 1), (FP16, "sum"), (320, 4)),
        ("A100-80", (64, 100_000), (0, 1), (FP16, "sum"), (1728, 4)),
        ("H200", (64, 100_000), (0, 1), (FP16, "sum"), (2112, 4)),
        ("T4", (3000, 1000), (0,), (FP32, "var"), (81_920_000, 32)),
        ("H200", (3000, 1000), (0,), (FP32, "var"), (96_256_000, 32)),
        ("T4", (3000, 1000), (0,), (BF16, "amax"), (10_240_000, 32)),
        ("H200", (3000, 1000), (0,), (BF16, "amax"), (12_032_000, 32)),
        ("H200", (300, 64), (0,), (FP32, "sum"), ()),
        ("H200", (33,), (0,), (FP32, "sum"), ()),
    ],
)
def test_buffers_are_as_large_as_on_the_card(
    gpu: str, shape: tuple[int, ...], dims: tuple[int, ...], kind: tuple[torch.dtype, str], expected: tuple[int, ...]
) -> None:
    """By the card, the shape, what is reduced, and how."""
    dtype, operation = kind
    assert reduced(gpu, torch.empty(shape, dtype=dtype, device="meta"), dims, operation) == expected


@pytest.mark.parametrize(("gpu", "expected"), [("T4", (983_040, 8)), ("H200", (4_816_896, 8))])
def test_strides_count_and_not_shapes(gpu: str, expected: tuple[int, ...]) -> None:
    """Over an image in channels_last, whose dimensions lie together as one."""
    image = torch.empty(64, 48, 56, 56, device="meta").to(memory_format=torch.channels_last)

    assert reduced(gpu, image, (0, 2, 3)) == expected


def test_rows_need_none_however_long() -> None:
    """There are results enough for every block."""
    assert reduced("H200", torch.empty(40_000, 20_000, device="meta"), (1,)) == ()


def test_what_needs_offsets_of_more_than_32_bits_is_reduced_in_parts() -> None:
    """Two halves of 1.6 GB, one after the other."""
    assert reduced("H200", torch.empty(40_000, 20_000, device="meta"), (0,)) == (204_800_000, 628)


def test_a_sum_in_another_format_copies_first() -> None:
    """Truth values are added as whole numbers of 64 bits."""
    trace = ran(lambda _, x: x.sum(), torch.empty(1000, 1000, dtype=torch.bool, device="meta"))

    assert 8_000_000 in [a.bytes for a in trace.allocations]


def test_sixteen_bits_are_added_in_32_without_a_copy() -> None:
    """The kernel widens them as it reads."""
    x = torch.empty(4096, 4096, dtype=BF16, device="meta")
    trace = ran(lambda _, given: given.sum(0, dtype=FP32), x, target=Target.of(card("H200")))

    assert "copy in the format of the result" not in [a.maker for a in trace.allocations]


def test_the_gradient_of_a_bias_is_such_a_sum() -> None:
    """``Linear(4096, 4096)`` over 4,096 rows under the mean of squares: 469,779,456 bytes on an H200, after rounding."""
    x = torch.empty(4096, 4096, device="meta")
    trace = trained(nn.Linear(4096, 4096), x, lambda model, x: model(x).square().mean(), target=Target.of(card("H200")))

    assert peak_bytes(trace) == 469_778_440


@pytest.mark.parametrize(
    ("capability", "threads"), [((7, 0), 2048), ((7, 5), 1024), ((8, 6), 1536), ((8, 9), 1536), ((9, 0), 2048)]
)
def test_a_multiprocessor_holds_as_many_threads_as_its_generation(capability: tuple[int, int], threads: int) -> None:
    """By NVIDIA's table."""
    assert Target(capability).threads_per_multiprocessor == threads
