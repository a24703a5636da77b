"""Sorting, and adding up by index, take the memory of CUB's radix sort: a second copy of keys and places, and counters."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_PLACE = 8
"""Bytes of a place, a whole number of 64 bits."""
_IN_ONE_KERNEL = 4096
"""Most that PyTorch's own kernel sorts."""
_FEW_ROWS = 128
"""Fewer are sorted as one, by number and then by row."""
_LONG_ROW = 1_000_000
_ONE_TILE = 2304
"""Most pairs that CUB sorts in one block of threads, without memory."""
_TILES = {2: 5632, 4: 5376, 8: 4608}
"""Pairs that a block sorts at once, by bytes of a key, on a Hopper card; derived from what PyTorch asked for there."""
_OLDER_TILE = 2816
_BINS_BYTES, _TILE_BYTES, _ALIGNMENT = 2048, 1024, 256
_LABEL = "sort"


def radix_bytes(count: int, key_bytes: int, bits: int, target: Target) -> int:
    """What CUB's ``DeviceRadixSort::SortPairs`` asks for, keys with places of 64 bits.

    Args:
        count: Pairs.
        key_bytes: Of a key.
        bits: Of a key that are looked at, 8 in each pass.
        target: The card.

    >>> radix_bytes(1_000_000, 4, 32, Target((9, 0)))
    12200191
    """
    if count <= _ONE_TILE:
        return 1
    tile = _TILES[key_bytes] if target.capability >= (9, 0) else _OLDER_TILE
    copies = _aligned(count * key_bytes) + _aligned(count * _PLACE)
    return copies + -(-bits // 8) * _BINS_BYTES + 2 * _ALIGNMENT - 1 + -(-count // tile) * _TILE_BYTES


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _sort(call: Call, target: Target) -> Iterable[Extra]:
    """By the length of the rows and their number."""
    x = call.args[0]
    if not x.dim() or not x.numel():
        return
    dim = _dimension(call) % x.dim()
    length, key = x.shape[dim], x.element_size()
    rows = x.numel() // length
    if length <= _IN_ONE_KERNEL:
        yield Extra(length * _PLACE, _LABEL)
        return
    if dim != x.dim() - 1:
        yield Extra(x.numel() * (2 * key + _PLACE), _LABEL)
    if rows == 1 or length >= _LONG_ROW:
        yield Extra(length * _PLACE, _LABEL)
        yield Extra(radix_bytes(length, min(key, 8), 8 * key, target), _LABEL)
    elif rows < _FEW_ROWS:
        yield Extra(x.numel() * (2 * _PLACE + key), _LABEL)
        yield Extra(radix_bytes(x.numel(), min(key, 8), 8 * key, target), _LABEL)
    else:
        yield Extra(x.numel() * (2 * _PLACE + key), _LABEL)


def _dimension(call: Call) -> int:
    named = call.kwargs.get("dim")
    if named is not None:
        return int(named)
    given = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    return given[0] if given else -1


def _adding(call: Call, target: Target) -> Iterable[Extra]:
    """Places in one number each, sorted, with where they came from, and as many again."""
    x, indices = call.args[0], call.args[1]
    accumulates = call.kwargs.get("accumulate", call.args[3] if len(call.args) > 3 else False)
    given = [index for index in indices if isinstance(index, Tensor)]
    if not accumulates or not given or any(index.dtype in {torch.bool, torch.uint8} for index in given):
        return
    count = prod(torch.broadcast_shapes(*(index.shape for index in given)))  # type: ignore[no-untyped-call]
    behind = prod(x.shape[len(_without_end(indices)) :])
    yield Extra(4 * count * _PLACE, _LABEL)
    yield Extra(radix_bytes(count, 8, (x.numel() // max(1, behind)).bit_length(), target), _LABEL)


def _without_end(indices: Any) -> list[Any]:
    """Up to the last dimension that has an index."""
    known = list(indices)
    while known and known[-1] is None:
        known.pop()
    return known


RULE = Rule(
    name="sorting",
    meaning=Text("rule.sorting", "Sorting needs a second copy of what is sorted and of its places."),
    source="pytorch aten/src/ATen/native/cuda/Sort.cpp, SortStable.cu and Indexing.cu, index_put_with_sort_kernel; "
    "NVIDIA CUB, dispatch_radix_sort.cuh; sizes of tiles measured on an emulated card",
    operations={"aten.sort": _sort, "aten.argsort": _sort, "aten.index_put": _adding, "aten.index_put_": _adding},
)
