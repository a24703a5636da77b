"""The temporary of a softmax's gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trace.reading import ran

LABEL = "softmax backward: gradient times output"


def temporaries(function: object, dtype: torch.dtype = torch.float32) -> list[int]:
    """Bytes of the product in one backward pass over 8 rows of 16."""

    def run(_: object, x: Tensor) -> None:
        function(x).sum().backward()  # type: ignore[operator]

    trace = ran(run, torch.empty(8, 16, dtype=dtype, requires_grad=True))
    return [a.bytes for a in trace.allocations if a.maker == LABEL]


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.float16, 2), (torch.bfloat16, 2)])
def test_the_product_is_as_large_as_the_output(dtype: torch.dtype, width: int) -> None:
    """In its format."""
    assert temporaries(lambda x: x.softmax(-1), dtype) == [8 * 16 * width]


def test_from_half_to_32_bits_in_one_kernel_the_product_is_wide() -> None:
    """Gradient and output are in 32 bits there."""
    assert temporaries(lambda x: x.softmax(-1, dtype=torch.float32), torch.float16) == [8 * 16 * 4]


def test_the_logarithm_of_a_softmax_takes_none() -> None:
    """Its kernel sums the gradient instead."""
    assert temporaries(lambda x: x.log_softmax(-1)) == []
