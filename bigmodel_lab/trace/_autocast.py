"""Autocast as CUDA does it, on stand-ins that look like CPU tensors.

The 16-bit list of a CPU is almost CUDA's, so the CPU's autocast does that part, with its
cache of weights. The 32-bit list differs much; the rule ``autocast_fp32`` does that part.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TypeVar, cast

import torch
from torch import Tensor

Value = TypeVar("Value")


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
