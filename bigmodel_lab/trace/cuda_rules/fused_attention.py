"""Attention on CUDA runs in a fused kernel that never writes the matrix of all pairs, wherever it can.

Which kernel is taken follows the order of PyTorch: flash, memory-efficient, the textbook
formula. A kernel drops out by number format, card, mask and size of the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.backends.cuda import flash_sdp_enabled, mem_efficient_sdp_enabled
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import SIXTEEN_BIT, in_autocast_dtype, without_autocast
from bigmodel_lab.trace.cuda_rules._attention_buffers import (
    efficient_backward,
    efficient_forward,
    flash_backward,
    flash_forward,
)
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_FLASH_HEAD = 256
_MASK_STEP = 8
"""Rows of a mask begin at a multiple of this many elements (``preprocess_mask``)."""


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
        and query.dtype in SIXTEEN_BIT
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
    bits = 16 if dtype in SIXTEEN_BIT else 32
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
    """The mask as numbers, in rows that the kernel can read, seen from every head."""
    if mask is None:
        return None
    mask = _as_numbers(mask, query.dtype)
    aligned = mask.stride(-1) == 1 and all(stride % _MASK_STEP == 0 for stride in mask.stride()[:-1])
    columns = mask.shape[-1]
    if not aligned:
        mask = F.pad(mask, (0, -columns % _MASK_STEP))[..., :columns]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])


def _as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a pair is allowed, else minus infinity (``convert_boolean_attn_mask``)."""
    if mask.dtype != torch.bool:
        return mask
    allowed, forbidden = (torch.full((), value, dtype=dtype, device=mask.device) for value in (0.0, float("-inf")))
    return torch.where(mask, allowed, forbidden)


def _textbook(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, call: _Arguments) -> Tensor:
    """softmax(QKᵀ/√d)·V with every pair written out, 16-bit formats in 32 bits (``_scaled_dot_product_attention_math``)."""
    dtype = query.dtype
    mask = None if mask is None else _as_numbers(mask, dtype)
    if dtype in SIXTEEN_BIT and not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed():  # type: ignore[no-untyped-call]
        query, key, value = query.float(), key.float(), value.float()
    share = (call.scale or query.shape[-1] ** -0.5) ** 0.5
    scaled = query * share  # beside the query, which the kernel's caller holds
    if call.is_causal:
        rows, columns = query.shape[-2], key.shape[-2]
        mask = _as_numbers(torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril(), query.dtype)
    if call.enable_gqa and query.shape[-3] != key.shape[-3]:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    weights = torch.matmul(scaled, key.transpose(-2, -1) * share)
    if mask is not None:
        weights.add_(mask)
    weights = torch._safe_softmax(weights, -1)  # noqa: SLF001
    if call.dropout_p > 0:
        weights = torch.native_dropout(weights, call.dropout_p, True)[0]
    _kept = weights.to(dtype)  # the kernel's second result, alive while the first is computed
    return torch.matmul(weights, value).to(dtype)


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    return {F.scaled_dot_product_attention: _attention}


RULE = Rule(
    name="fused_attention",
    meaning=Text("rule.fused_attention", "Attention runs in a fused kernel that keeps no matrix of all pairs."),
    source=(
        "pytorch aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (choice of the kernel), attention.cpp (masks, the "
        "textbook formula); buffers as in _attention_buffers.py"
    ),
    functions=_functions,
    operations={
        "aten._scaled_dot_product_flash_attention": flash_forward,
        "aten._scaled_dot_product_flash_attention_backward": flash_backward,
        "aten._scaled_dot_product_efficient_attention": efficient_forward,
        "aten._scaled_dot_product_efficient_attention_backward": efficient_backward,
    },
)
