"""Buffers of the attention kernels, against sizes that PyTorch's CUDA build asked for on an emulated card (2026-11-30)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Target
from tests.trace.reading import ran

T4, RTX_3090, H200 = Target((7, 5), multiprocessors=40), Target((8, 6), multiprocessors=82), Target((9, 0), 0, 0, 132)
HALF, WIDE = torch.float16, torch.float32


def attended(
    size: int, dtype: torch.dtype, target: Target, dropout: float = 0.0, *, masked: bool = False
) -> RequestTrace:
    """Forward and backward of 3 heads of 200 rows for 2 samples."""
    q = torch.empty(2, 3, 200, size, dtype=dtype, requires_grad=True)
    mask = torch.empty(2, 1, 1, 200, dtype=torch.bool)

    def run(_: object, batch: tuple[Tensor, Tensor]) -> None:
        query, allowed = batch
        out = F.scaled_dot_product_attention(query, query, query, allowed if masked else None, dropout, is_causal=False)
        torch.autograd.grad(out, query, torch.empty_like(out))

    return ran(run, q, mask, target=target)


def label_bytes(trace: RequestTrace, label: str) -> list[int]:
    """Of what has this label."""
    return [a.bytes for a in trace.allocations if a.maker == label]


@pytest.mark.parametrize(
    ("target", "dtype", "size", "dropout", "expected"),
    [
        (T4, HALF, 64, 0.0, 393_600),
        (T4, HALF, 96, 0.0, 786_816),
        (T4, HALF, 160, 0.0, 4_325_952),
        (T4, WIDE, 256, 0.1, 1_574_400),
        (RTX_3090, WIDE, 128, 0.0, 787_200),
        (H200, WIDE, 64, 0.0, 393_600),
        (H200, WIDE, 160, 0.1, 1_180_224),
    ],
)
def test_workspace_of_the_efficient_kernel(
    target: Target, dtype: torch.dtype, size: int, dropout: float, expected: int
) -> None:
    """By card, number format, size of the heads and dropout."""
    assert label_bytes(attended(size, dtype, target, dropout), "efficient attention: workspace") == [expected]


@pytest.mark.parametrize(
    ("target", "size", "dropout", "expected"),
    [
        (RTX_3090, 96, 0.0, 786_816),
        (RTX_3090, 96, 0.1, 2_360_064),
        (RTX_3090, 128, 0.0, 2_360_064),
        (H200, 128, 0.1, 786_624),
        (H200, 256, 0.0, 4_719_360),
    ],
)
def test_workspace_with_a_mask_in_16_bits(target: Target, size: int, dropout: float, expected: int) -> None:
    """A mask takes flash out of the choice."""
    trace = attended(size, HALF, target, dropout, masked=True)

    assert label_bytes(trace, "efficient attention: workspace") == [expected]


def test_seeds_of_dropout_stay_on_the_host() -> None:
    """The kernel returns two whole numbers that are not on the card."""
    trace = attended(64, HALF, T4, 0.1)

    assert [a for a in trace.allocations if a.dtype == "int64"] == []


@pytest.mark.parametrize(("size", "expected"), [(64, []), (128, [1_228_800]), (160, [3_686_400]), (256, [4_915_200])])
def test_flash_splits_the_keys_of_few_queries(size: int, expected: list[int]) -> None:
    """On 132 multiprocessors: 1, 2, 4 and 4 parts."""
    assert label_bytes(attended(size, HALF, H200), "flash attention: results of splits") == expected


def test_flash_does_not_split_under_dropout() -> None:
    """It cannot."""
    assert label_bytes(attended(128, HALF, H200, 0.1), "flash attention: results of splits") == []


@pytest.mark.parametrize(("size", "expected"), [(64, 393_216), (128, 786_432), (160, 1_179_648), (256, 1_572_864)])
def test_gradient_sums_of_flash(size: int, expected: int) -> None:
    """Heads above 128 elements are padded in steps of 64, others in steps of 32."""
    assert label_bytes(attended(size, HALF, H200), "flash attention: gradient sums") == [expected]


def test_gradients_in_another_layout_are_copied() -> None:
    """Heads outside of rows: the gradient and the output of flash, each once."""
    label = "attention: copy in the kernel's layout"

    assert label_bytes(attended(64, HALF, H200), label) == [2 * 3 * 200 * 64 * 2] * 2


def test_a_mask_of_yes_and_no_is_made_of_two_numbers() -> None:
    """Zero and minus infinity, and a choice of the mask's own size."""
    trace = attended(64, WIDE, T4, masked=True)
    made = [(a.maker, a.bytes) for a in trace.allocations if a.maker in {"aten.full", "aten.where", "aten.logical_not"}]

    assert made == [("aten.full", 4), ("aten.full", 4), ("aten.where", 1600)]


def test_textbook_attention_keeps_one_byte_per_pair_for_dropout() -> None:
    """bf16 on a T4: neither kernel takes it."""
    trace = attended(64, torch.bfloat16, T4, 0.1)
    masks = [a.bytes for a in trace.allocations if a.maker == "aten.native_dropout" and a.dtype == "bool"]

    assert masks == [2 * 3 * 200 * 200]


def test_textbook_attention_looks_for_rows_without_a_pair() -> None:
    """A byte per pair while the softmax is there."""
    trace = attended(64, torch.bfloat16, T4)

    assert [a.bytes for a in trace.allocations if a.maker == "aten.isneginf"] == [2 * 3 * 200 * 200]
