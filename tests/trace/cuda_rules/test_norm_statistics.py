"""What norms keep and borrow, against what PyTorch's CUDA code asked for on an emulated H200."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import made_by, trained

BF16 = torch.bfloat16


def traced(model: nn.Module, *shape: int, dtype: torch.dtype = torch.float32, last: bool = False) -> RequestTrace:
    """Two steps of one norm."""
    x = torch.empty(shape, dtype=dtype, device="meta")
    return trained(model.to(dtype), x.to(memory_format=torch.channels_last) if last else x, squares)


def squares(model: nn.Module, x: Tensor) -> Tensor:
    """A loss whose gradient lies like the output."""
    return model(x).square().sum()


def first(trace: RequestTrace, maker: str, count: int) -> list[int]:
    """Bytes of the first allocations of this maker."""
    return [a.bytes for a in made_by(trace, maker)][:count]


def test_statistics_of_rows_in_16_bits_have_32() -> None:
    """Mean and deviation of 512 rows."""
    trace = traced(nn.LayerNorm(256), 512, 256, dtype=BF16)

    assert first(trace, "aten.native_layer_norm", 3) == [262_144, 2048, 2048]


def test_rows_that_do_not_lie_together_are_copied() -> None:
    """Before the norm reads them."""
    x = torch.empty(8, 256, 64, device="meta")
    trace = trained(nn.LayerNorm(256), x, lambda model, x: model(x.transpose(1, 2)).sum())

    assert first(trace, "rows that lie together", 1) == [8 * 256 * 64 * 4]


@pytest.mark.parametrize("training", [True, False])
def test_own_kernels_keep_statistics_of_every_channel(training: bool) -> None:
    """In bf16 cuDNN is not taken: 64 channels, 32 bits each, outside training too."""
    trace = traced(nn.BatchNorm2d(64).train(training), 8, 64, 28, 28, dtype=BF16)

    assert first(trace, "aten.native_batch_norm", 3) == [802_816, 256, 256]


def test_cudnn_keeps_none_outside_training() -> None:
    """In fp32."""
    trace = traced(nn.BatchNorm2d(64).eval(), 8, 64, 28, 28)

    assert first(trace, "aten.native_batch_norm", 2) == [1_605_632, 1_605_632]


@pytest.mark.parametrize(("samples", "side", "expected"), [(8, 28, [25_600, 8]), (64, 56, [131_072, 8])])
def test_channels_that_lie_last_meet_in_a_buffer(samples: int, side: int, expected: list[int]) -> None:
    """As many rows of blocks as what is averaged needs, up to 128."""
    trace = traced(nn.BatchNorm2d(64), samples, 64, side, side, dtype=BF16, last=True)

    assert first(trace, "statistics of a norm", 2) == expected


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float32, [4096, 4096, 512, 2048]), (BF16, [512, 4096, 4096, 512, 2048])]
)
def test_groups_take_a_few_numbers_for_each_channel(dtype: torch.dtype, expected: list[int]) -> None:
    """Forward and then backward."""
    trace = traced(nn.GroupNorm(8, 64), 8, 64, 28, 28, dtype=dtype)

    assert first(trace, "statistics of a norm", len(expected)) == expected
