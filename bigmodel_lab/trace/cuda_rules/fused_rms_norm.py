"""``rms_norm`` on CUDA is one kernel that keeps one number a row; a CPU takes it apart and keeps every intermediate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import in_dtype, is_on
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target


class _RmsNorm(torch.autograd.Function):
    """Output and what is kept, with the kernel's shapes; the numbers mean nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, dimensions: int) -> Tensor:
        rows = x.shape[: x.dim() - dimensions] + (1,) * dimensions
        ctx.save_for_backward(x, weight, x.new_empty(rows, dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *_gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors[:2]
        wanted = zip(tensors, ctx.needs_input_grad[:2], strict=True)
        return (*(torch.empty_like(t) if need else None for t, need in wanted), None)


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    """Nothing before torch 2.9, which has no such kernel."""
    return {torch.rms_norm: _rms_norm} if hasattr(torch.ops.aten, "_fused_rms_norm") else {}


def _rms_norm(_target: Target, _function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return _fused(*args, **kwargs)


def _fused(
    input: Tensor,  # noqa: A002 (torch's name)
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,  # noqa: ARG001 (changes no memory)
) -> Tensor:
    """Under autocast input and weight are widened first, as ``rms_norm`` is in the 32-bit list."""
    dtype = torch.float32 if is_on() else input.dtype
    out: Tensor = _RmsNorm.apply(in_dtype(input, dtype), in_dtype(weight, dtype), len(normalized_shape))  # type: ignore[no-untyped-call]
    return out


RULE = Rule(
    name="fused_rms_norm",
    meaning=Text("rule.fused_rms_norm", "rms_norm is one kernel that keeps one number a row."),
    source="pytorch aten/src/ATen/native/layer_norm.cpp, rms_norm_symint; native/cuda/layer_norm_kernel.cu",
    functions=_functions,
)
