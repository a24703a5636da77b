"""Autocast as CUDA does it, on stand-ins that look like CPU tensors.

The 16-bit list of a CPU is almost CUDA's, so the CPU's autocast does that part, with its
cache of weights. The 32-bit list differs much; the rule ``autocast_fp32`` does that part.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import TypeVar, cast

import torch
from torch import Tensor

Value = TypeVar("Value")
SIXTEEN_BIT = (torch.float16, torch.bfloat16)
"""Number formats that are narrower than fp32."""


class _Narrowed(threading.local):
    """Weights in 16 bits that autocast keeps until it ends, of the traces of one thread."""

    def __init__(self) -> None:
        self.by_weight: dict[int, tuple[Tensor, Tensor]] = {}


_KEPT = _Narrowed()


def is_on() -> bool:
    """The traced program is inside autocast."""
    return torch.is_autocast_enabled("cpu")


def without_autocast() -> AbstractContextManager[object]:
    """The inside of an operation that autocast has already prepared."""
    return torch.autocast("cpu", enabled=False)


def in_autocast_dtype(value: Value) -> Value:
    """A tensor of numbers in the 16-bit format of autocast, where that is on; everything else as it is."""
    return in_dtype(value, torch.get_autocast_dtype("cpu")) if is_on() else value


def in_dtype(value: Value, dtype: torch.dtype) -> Value:
    """A tensor of floating-point numbers in this format (64 bits stay); everything else as it is."""
    if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64:
        return cast("Value", value.to(dtype))
    return value


def narrowed(tensor: Tensor) -> Tensor:
    """A tensor as an operation of autocast's 16-bit list gets it.

    A weight in fp32 is narrowed once and kept until autocast ends, except in inference mode (``cached_cast`` of
    ``autocast_mode.cpp``).

    Args:
        tensor: Any; what is no floating-point tensor, or in 64 bits, is given back.
    """
    dtype = torch.get_autocast_dtype("cpu")
    is_weight = tensor.dtype == torch.float32 and tensor.requires_grad and tensor.is_leaf and not tensor._is_view()  # noqa: SLF001
    if not is_weight or torch.is_inference_mode_enabled() or not torch.is_autocast_cache_enabled():
        return in_dtype(tensor, dtype)
    _, kept = _KEPT.by_weight.get(id(tensor), (None, None))
    if kept is None:
        kept = in_dtype(tensor, dtype)
        _KEPT.by_weight[id(tensor)] = tensor, kept
    return kept


def forget_weights() -> None:
    """The outermost autocast of this thread has ended."""
    _KEPT.by_weight.clear()
