"""Attention on CUDA runs in a fused kernel that never writes the matrix of all pairs, wherever it can.

Which kernel is taken follows the order of PyTorch: flash, memory-efficient, the textbook
formula. A kernel drops out by number format, card, mask and size of the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.backends.cuda import flash_sdp_enabled, mem_efficient_sdp_enabled
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import in_autocast_dtype, without_autocast
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Replacement, Rule, Target

_SIXTEEN_BIT = (torch.float16, torch.bfloat16)
_FLASH_HEAD, _FLASH_BLOCK, _FLASH_HEAD_STEP = 256, 128, 32
_HOPPER = (9, 0)
_LOCK_BYTES = 16
_MASK_STEP = 16
"""Masks are padded to this many columns."""


def backend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, target: Target, *, is_causal: bool = False
) -> str:
    """Kernel that CUDA takes: ``"flash"``, ``"efficient"`` or ``"math"``.

    Args:
        query: Shape (batch, heads, queries, head size).
        key: Shape (batch, heads, keys, head size).
        value: Shape (batch, heads, keys, head size).
        mask: Of allowed pairs, or added to the scores; None for none.
        target: The card.
        is_causal: No query sees a later key.

    >>> q = torch.empty(1, 8, 64, 32, dtype=torch.float16, device="meta")
    >>> backend(q, q, q, None, Target()), backend(q, q, q, None, Target(capability=(7, 5)))
    ('flash', 'efficient')
    """
    if query.dim() != 4:
        return "math"
    if flash_sdp_enabled() and _flash_can(query, key, value, mask, target, is_causal):  # type: ignore[no-untyped-call]
        return "flash"
    if mem_efficient_sdp_enabled() and _efficient_can(query, key, value, target):  # type: ignore[no-untyped-call]
        return "efficient"
    return "math"


def _flash_can(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, target: Target, is_causal: bool) -> bool:  # noqa: PLR0917
    head = query.shape[-1]
    same_head = head == key.shape[-1] == value.shape[-1]
    square = not is_causal or query.shape[-2] == key.shape[-2]
    return (
        mask is None
        and target.capability >= (8, 0)
        and query.dtype in _SIXTEEN_BIT
        and same_head
        and head <= _FLASH_HEAD
        and square
    )


def _efficient_can(query: Tensor, key: Tensor, value: Tensor, target: Target) -> bool:
    """Heads of queries that share keys (``enable_gqa``) are flash's and the textbook's alone."""
    known = (torch.float16, torch.float32, *((torch.bfloat16,) if target.capability >= (8, 0) else ()))
    step = _alignment(query.dtype, target)
    head, out = query.shape[-1], value.shape[-1]
    fits = head == key.shape[-1] and head % step == 0 and out % step == 0
    return query.dtype in known and fits and query.shape[1] == key.shape[1]


def _alignment(dtype: torch.dtype, target: Target) -> int:
    """Elements by which heads have to divide, as CUTLASS needs them."""
    bits = 16 if dtype in _SIXTEEN_BIT else 32
    if target.capability >= (8, 0):
        return max(4, 128 // bits)
    return 128 // bits if target.capability >= (7, 0) and bits == 16 else 1


def _attention(target: Target, _function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs the kernel that CUDA would take."""
    call = _Arguments(*args, **kwargs)
    query, key, value = (in_autocast_dtype(t) for t in (call.query, call.key, call.value))
    mask = in_autocast_dtype(call.mask)
    with without_autocast():
        kind = backend(query, key, value, mask, target, is_causal=call.is_causal)
        if kind == "flash":
            return _flash(query, key, value, call)
        if kind == "efficient":
            return _efficient(query, key, value, mask, call)
        return _textbook(query, key, value, mask, call)


class _Arguments:
    """Arguments of ``scaled_dot_product_attention`` by the names that torch gives them."""

    def __init__(  # noqa: PLR0917
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        self.query, self.key, self.value, self.mask = query, key, value, attn_mask
        self.dropout_p, self.is_causal, self.scale, self.enable_gqa = dropout_p, is_causal, scale, enable_gqa


def _flash(query: Tensor, key: Tensor, value: Tensor, call: _Arguments) -> Tensor:
    """Heads are padded to a multiple of 8 elements."""
    size = query.shape[-1]
    scale = call.scale or size**-0.5
    missing = -size % 8
    if missing:
        query, key, value = (F.pad(t, (0, missing)) for t in (query, key, value))
    out: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(  # noqa: SLF001
        query, key, value, call.dropout_p, call.is_causal, False, scale=scale
    )[0]
    return out[..., :size] if missing else out


def _efficient(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, call: _Arguments) -> Tensor:
    needs_grad = any(t.requires_grad for t in (query, key, value)) and torch.is_grad_enabled()
    out: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(  # noqa: SLF001
        query, key, value, _padded(mask, query, key), needs_grad, call.dropout_p, call.is_causal, scale=call.scale
    )[0]
    return out


def _padded(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask as numbers of the query's format, in rows that the kernel can read, seen from every head."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
    columns = mask.shape[-1]
    if missing := -columns % _MASK_STEP:
        mask = F.pad(mask, (0, missing))[..., :columns]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])


def _textbook(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, call: _Arguments) -> Tensor:
    """softmax(QKᵀ/√d)·V with every pair written out."""
    out: Tensor = torch.ops.aten._scaled_dot_product_attention_math(  # noqa: SLF001
        query, key, value, mask, call.dropout_p, call.is_causal, scale=call.scale, enable_gqa=call.enable_gqa
    )[0]
    return out


def _flash_backward(call: Call, target: Target) -> Iterable[Extra]:
    """Gradients of the queries are summed in 32 bits, over rows padded to whole blocks.

    The kernel reads the result and its gradient with heads behind tokens, and copies them where they are not. Keys and
    values that several heads share get a gradient of every head, before these are added up. On a Hopper card PyTorch
    prefers cuDNN's kernel without dropout, which copies nothing; its workspace is not published and charged alike.
    """
    gradient, query, key, _, out = call.args[:5]
    batch, heads, rows, size = query.shape
    if target.capability != _HOPPER or call.args[10]:
        for tensor in (gradient, out):
            if not tensor.transpose(1, 2).is_contiguous():
                yield Extra(tensor.numel() * tensor.element_size(), "flash attention: heads behind tokens")
    padded_rows, padded_size = _up(rows, _FLASH_BLOCK), _up(size, _FLASH_HEAD_STEP)
    yield Extra(4 * batch * heads * padded_rows, "flash attention: row sums")
    yield Extra(4 * batch * heads * padded_rows * padded_size, "flash attention: gradient sums")
    if key.shape[1] != heads:
        each = batch * heads * key.shape[2] * size * key.element_size()
        yield Extra(2 * each, "flash attention: gradients of shared keys and values")


def _efficient_backward(call: Call, _target: Target) -> Iterable[Extra]:
    """Row sums in 32 bits. First, in fp32, they are those of a product as large as the result; then comes a workspace."""
    query, value, out = call.args[1], call.args[3], call.args[5]
    batch, heads, rows, size = query.shape
    sums = 4 * batch * heads * rows
    product = 0 if query.dtype in _SIXTEEN_BIT else 4 * out.numel() + sums
    work = batch * heads * _workspace(rows, size, value.shape[-1], is_16_bit=query.dtype in _SIXTEEN_BIT)
    yield Extra(sums, "efficient attention: row sums")
    yield Extra(max(product, work), "efficient attention: workspace")


def _workspace(rows: int, size: int, value_size: int, *, is_16_bit: bool) -> int:
    """Bytes for each head, by ``workspace_elements_gq``, ``_gk`` and ``_gv`` in kernel_backward.h, measured on an emulated card."""
    largest = max(size, value_size)
    block, columns = (64, 64) if largest <= 64 else (64, 128)
    keys = 0
    if largest > 128:
        block, columns = (128 if is_16_bit else 64), 64
        keys = 4 * block * (_up(size, block) + _up(value_size, block)) if is_16_bit else 0
    return -(-rows // block) * -(-size // columns) * (_LOCK_BYTES + 4 * block * columns) + keys


def _safe_softmax(call: Call, _target: Target) -> Iterable[Extra]:
    """Looks for rows without any pair: one byte for every pair, and for every row."""
    scores = call.args[0]
    yield Extra(scores.numel(), "textbook attention: pairs that are masked")
    yield Extra(scores.numel() // max(1, scores.shape[-1]), "textbook attention: rows that are masked")


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    return {F.scaled_dot_product_attention: _attention}


RULE = Rule(
    name="fused_attention",
    meaning=Text("rule.fused_attention", "Attention runs in a fused kernel that keeps no matrix of all pairs."),
    source=(
        "pytorch aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (choice of the kernel), "
        "flash_attn/flash_api.cpp, mha_bwd (softmax_d, dq_accum), attention_backward.cu"
    ),
    functions=_functions,
    operations={
        "aten._safe_softmax": _safe_softmax,
        "aten._scaled_dot_product_flash_attention_backward": _flash_backward,
        "aten._scaled_dot_product_efficient_attention_backward": _efficient_backward,
    },
)
