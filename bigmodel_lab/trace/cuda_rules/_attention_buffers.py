"""What the kernels of fused attention ask for beside their outputs.

Sources, all in ``aten/src/ATen/native/transformers/cuda`` of PyTorch 2.13: ``flash_attn/flash_api.cpp`` (mha_fwd,
set_params_splitkv, num_splits_heuristic, mha_bwd), ``attention_backward.cu`` and
``mem_eff_attention/kernel_backward.h`` (Params::workspace_size) with ``kernels/cutlassB.h`` (which kernel is taken).
Every size was compared with PyTorch's CUDA build over an emulated card.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from bigmodel_lab.trace._autocast import SIXTEEN_BIT
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Freed, Outputs, Step, Target

_FLASH_ROWS = 128
"""Rows are padded to whole blocks of as many."""
_MOST_SPLITS = 128
_SMALL_SHARED_MEMORY = {(8, 6), (8, 7), (8, 9), (12, 0), (12, 1)}
"""Cards whose blocks get 99 KiB of shared memory, too little for the largest kernels."""


def flash_forward(call: Call, target: Target) -> Iterable[Step]:
    """Where queries are few, the keys are split among the multiprocessors, and each part has a result of its own."""
    query, key, dropout = call.args[0], call.args[1], call.args[3] if len(call.args) > 3 else 0.0
    yield Outputs((0, 1))
    batch, heads, rows, size = query.shape
    splits = 1 if dropout else _flash_splits(batch * heads, rows, key.shape[-2], size, target.multiprocessors)
    if splits > 1:
        yield Extra(4 * splits * batch * heads * rows, "flash attention: sums of splits")
        yield Extra(4 * splits * batch * heads * rows * _flash_size(size), "flash attention: results of splits")
    yield Outputs((2, 3))
    if dropout:
        yield Extra(16, "flash attention: counter of dropout")


def flash_backward(call: Call, _target: Target) -> Iterable[Step]:
    """Gradients of the queries are summed in 32 bits, over rows padded to whole blocks.

    Keys and values that several heads share get a gradient of every head, before these are added up.
    """
    gradient, query, key, out = call.args[0], call.args[1], call.args[2], call.args[4]
    yield from _contiguous(gradient, out)
    yield Outputs()
    batch, heads, rows, size = query.shape
    padded_rows = _up(rows, _FLASH_ROWS)
    yield Extra(4 * batch * heads * padded_rows, "flash attention: row sums")
    yield Extra(4 * batch * heads * padded_rows * _flash_size(size), "flash attention: gradient sums")
    if key.shape[1] != heads:
        each = batch * heads * key.shape[2] * size * key.element_size()
        yield Extra(each, "flash attention: gradients of shared keys")
        yield Extra(each, "flash attention: gradients of shared values")


def efficient_forward(call: Call, _target: Target) -> Iterable[Step]:
    """The seeds of dropout stay on the host; heads above 128 elements are summed in 32 bits outside the registers."""
    query, value = call.args[0], call.args[2]
    yield Outputs((0, 1))
    if query.dtype in SIXTEEN_BIT and value.shape[-1] > 128:
        yield Extra(4 * query.shape[:-1].numel() * value.shape[-1], "efficient attention: sums")


def efficient_backward(call: Call, target: Target) -> Iterable[Step]:
    """Row sums in 32 bits, and a workspace in which the blocks of keys add up what they know of each gradient."""
    gradient, query, key, value = call.args[0], call.args[1], call.args[2], call.args[3]
    yield from _contiguous(gradient)
    yield Outputs()
    batch, heads, rows, size = query.shape
    sums = Extra(4 * batch * heads * rows, "efficient attention: row sums")
    if query.dtype in SIXTEEN_BIT:
        yield sums
    else:
        product = Extra(4 * batch * heads * rows * value.shape[-1], "efficient attention: gradient times output")
        turned = Extra(sums.bytes, "efficient attention: row sums, by heads")
        yield from (product, turned, sums, Freed(turned), Freed(product))
    largest = max(size, value.shape[-1])
    has_dropout = bool(call.args[9]) if len(call.args) > 9 else False
    blocks = _blocks(query.dtype, largest, target.capability, has_dropout=has_dropout)
    each = blocks.elements(batch * heads, rows, key.shape[2], size, value.shape[-1])
    yield Extra(4 * batch * heads * each, "efficient attention: workspace")


class Blocks(NamedTuple):
    """How a kernel of efficient attention cuts its work."""

    queries: int
    """Queries of one block."""
    keys: int
    """Keys of one block."""
    in_registers: bool
    """Gradients of keys and values need no place outside the registers."""
    splits_keys: bool
    """Several blocks work at one gradient of a query and add up, which takes a place outside; not before Volta."""

    def elements(self, pairs: int, rows: int, columns: int, size: int, value_size: int) -> int:
        """Numbers of 32 bits in the workspace of one head.

        Args:
            pairs: Heads of all samples.
            rows: Queries.
            columns: Keys.
            size: Elements of a query.
            value_size: Elements of a value.
        """
        splits = _ceil(columns, self.keys)
        if pairs >= 256 and columns <= 2 * self.keys:
            splits = 1
        if not self.in_registers:
            splits = min(splits, 200 // pairs)
        splits = max(splits, 1) if self.splits_keys else 1
        shared = (
            0 if self.in_registers else splits * self.keys * (_up(size, self.queries) + _up(value_size, self.queries))
        )
        tiles = _ceil(rows, self.queries) * _ceil(size, self.keys)
        return _up(shared + tiles * (4 + self.queries * self.keys), 4)


class _NoWorkspace(Blocks):
    """fp32 before Volta: every gradient has one block."""

    def elements(self, pairs: int, rows: int, columns: int, size: int, value_size: int) -> int:  # noqa: ARG002
        """None."""
        return 0


def _blocks(dtype: torch.dtype, size: int, capability: tuple[int, int], *, has_dropout: bool) -> Blocks:
    """The first kernel in PyTorch's list that a card has the shared memory for."""
    splits = capability >= (7, 0)
    if dtype not in SIXTEEN_BIT:
        if not splits:
            return _NoWorkspace(64, 64, True, False)
        wide = size > 64 and capability >= (8, 0) and capability not in _SMALL_SHARED_MEMORY
        return Blocks(128 if wide else 64, 64, True, True)
    if size <= 64 or not splits:
        return Blocks(64, 64, size <= 64, splits)
    if size > 128:
        return Blocks(128, 64, False, True)
    if capability < (8, 0):
        return Blocks(128, 64, True, True)
    if capability not in _SMALL_SHARED_MEMORY:
        return Blocks(128, 128, True, True)
    if size <= 96 and not has_dropout and capability in {(8, 6), (8, 9)}:
        return Blocks(128, 64, True, True)
    return Blocks(64, 64, False, True)


def _contiguous(*tensors: Tensor) -> Iterable[Step]:
    """Copies of those whose heads do not lie inside the rows of the sequence."""
    for tensor in tensors:
        if not tensor.transpose(1, 2).is_contiguous():
            yield Extra(tensor.numel() * tensor.element_size(), "attention: copy in the kernel's layout")


def _flash_splits(pairs: int, rows: int, columns: int, size: int, multiprocessors: int) -> int:
    """Parts that the keys are split into, so that enough multiprocessors have work (``num_splits_heuristic``)."""
    places = 2 * multiprocessors
    blocks = pairs * _ceil(rows, 64)
    if blocks >= 0.8 * places:
        return 1
    of_keys = _ceil(columns, 256 if size <= 64 else 128 if size <= 128 else 64)
    numbers = range(1, min(_MOST_SPLITS, places, of_keys) + 1)
    eligible = [n for n in numbers if n == 1 or _ceil(of_keys, n) != _ceil(of_keys, n - 1)]
    efficiency = {n: blocks * n / places / math.ceil(blocks * n / places) for n in eligible}
    return next(n for n in eligible if efficiency[n] >= 0.85 * max(efficiency.values()))


def _flash_size(size: int) -> int:
    """Elements of a head in the kernel."""
    return _up(size, 32 if size <= 128 else 64)


def _ceil(count: int, step: int) -> int:
    return -(-count // step)


def _up(count: int, step: int) -> int:
    return _ceil(count, step) * step
