"""Memory of CUB's radix sort, against what PyTorch's CUDA code asked for on an emulated H200."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bigmodel_lab.trace import Target
from bigmodel_lab.trace.cuda_rules.sorting import radix_bytes
from tests.trace.reading import made_by, ran

HOPPER = Target((9, 0))


def asked(x: Tensor, dim: int = -1) -> int:
    """Bytes beside the result of a sort."""
    return sum(a.bytes for a in made_by(ran(lambda _, given: given.sort(dim), x, target=HOPPER), "sort"))


@pytest.mark.parametrize(
    ("count", "key_bytes", "bits", "expected"),
    [
        (2000, 8, 9, 1),
        (5000, 8, 9, 87_039),
        (5000, 8, 19, 89_087),
        (5000, 4, 32, 70_143),
        (1_000_000, 4, 32, 12_200_191),
        (1_000_000, 2, 16, 10_187_007),
        (1_000_000, 8, 64, 16_240_127),
    ],
)
def test_copies_and_counters(count: int, key_bytes: int, bits: int, expected: int) -> None:
    """By the number of pairs, the key, and the bits of it that count."""
    assert radix_bytes(count, key_bytes, bits, HOPPER) == expected


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((500, 600), torch.float32, 4800),
        ((64, 5000), torch.float32, 10_310_143),
        ((64, 5000), torch.bfloat16, 9_022_975),
        ((64, 5000), torch.int64, 12_888_575),
        ((1_000_000,), torch.float32, 20_200_191),
        ((4, 100_000), torch.float32, 12_885_503),
    ],
)
def test_rows_by_their_length(shape: tuple[int, ...], dtype: torch.dtype, expected: int) -> None:
    """Short ones in one kernel, few long ones as one, a single one by itself."""
    assert asked(torch.empty(shape, dtype=dtype, device="meta")) == expected


@pytest.mark.parametrize(("count", "expected"), [(100, 3201), (5000, 247_039)])
def test_adding_up_by_index_sorts_the_places(count: int, expected: int) -> None:
    """Four lists of places, and the sort's own."""
    x, i, y = torch.empty(500, 600), torch.zeros(count, dtype=torch.int64), torch.empty(count, 600)
    trace = ran(lambda _, given: given[0].index_put((given[1],), given[2], accumulate=True), x, i, y, target=HOPPER)

    assert sum(a.bytes for a in made_by(trace, "sort")) == expected


def test_writing_by_index_does_not_sort() -> None:
    """It does not matter who comes last."""
    x, i, y = torch.empty(500, 600), torch.zeros(5000, dtype=torch.int64), torch.empty(5000, 600)

    assert made_by(ran(lambda _, given: given[0].index_put((given[1],), given[2]), x, i, y), "sort") == []
