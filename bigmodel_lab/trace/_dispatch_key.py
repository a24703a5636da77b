"""What tells two calls of an operation on stand-ins apart, in few looks at each tensor.

torch keeps the shapes of results by the arguments of a call (``FakeTensorMode._cache_key``), and computing that key took a third
of a trace: seventeen fields for each tensor, the sizes one by one. A plain strided stand-in has ten that matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

_ATOMS = frozenset({int, float, bool, type(None), str, torch.dtype, torch.layout, torch.device, torch.memory_format})
"""Types of arguments that are told apart by type and value alone."""
_PLAIN, _LEFT = "plain stand-in", "something else"


def add_to_key(mode: FakeTensorMode, key: list[Any], values: Iterable[Any]) -> list[Any]:
    """Add the arguments of a call to its key; returns those that were left out, for torch's own rules.

    Args:
        mode: Of the stand-ins.
        key: Grows.
        values: Arguments, or the members of one.
    """
    left = []
    for value in values:
        kind = type(value)
        if kind in _ATOMS:
            key += (kind, value)
        elif kind is FakeTensor and (plain := _of(mode, value)) is not None:
            key.append(plain)
        elif kind is list or kind is tuple:
            key += (kind, len(value))
            left += add_to_key(mode, key, value)
        else:
            key.append(_LEFT)  # its place counts
            left.append(value)
    return left


def _of(mode: FakeTensorMode, tensor: Any) -> Hashable | None:
    """Of one stand-in; None where it is not plain."""
    if tensor.layout is not torch.strided or tensor.fake_mode is not mode or tensor.constant is not None:
        return None
    return (
        _PLAIN,
        tensor.dtype,
        tensor.shape,
        tensor.stride(),
        tensor.storage_offset(),
        tensor.fake_device,
        tensor.requires_grad,
        tensor.untyped_storage().nbytes(),
        tensor.is_conj(),
        tensor.is_neg(),
        tensor.is_inference(),
    )
