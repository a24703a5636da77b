"""Under autocast CUDA computes norms, losses, powers and sums in 32 bits, where a CPU stays in 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace import _autocast
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_CAST = (
    "acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow layer_norm native_layer_norm "
    "group_norm frobenius_norm nuclear_norm cosine_similarity poisson_nll_loss cosine_embedding_loss dist pdist cdist "
    "hinge_embedding_loss kl_div margin_ranking_loss triplet_margin_loss renorm logsumexp binary_cross_entropy_with_logits"
)
_CAST_IN_NN = (
    "softplus nll_loss nll_loss_nd l1_loss smooth_l1_loss huber_loss mse_loss multilabel_margin_loss soft_margin_loss "
    "multi_margin_loss upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
    "upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa"
)
_WIDE_NORMS = ["vector_norm", "matrix_norm"]
_WIDE_RESULT = ["prod", "cumprod", "cumsum", "sum"]
"""These take the 16-bit tensor and are told to answer in 32 bits, unless the caller named a format."""


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    places = [(torch, _CAST), (Tensor, _CAST), (torch._C._nn, _CAST_IN_NN)]  # noqa: SLF001
    named = [(place, name) for place, names in places for name in names.split()]
    cast = {getattr(place, name): _in_32_bits for place, name in named if hasattr(place, name)}
    wide = {getattr(place, name): _wide for place in (torch, Tensor) for name in _WIDE_RESULT if hasattr(place, name)}
    norms: Mapping[Callable[..., Any], Replacement] = {getattr(torch.linalg, name): _wide for name in _WIDE_NORMS}
    kernels = {"softmax": torch._softmax, "log_softmax": torch._log_softmax}  # noqa: SLF001
    soft = {getattr(place, name): partial(_softmax, kernels[name]) for place in (torch, Tensor) for name in kernels}
    losses: Mapping[Callable[..., Any], Replacement] = {
        torch._C._nn.cross_entropy_loss: _cross_entropy,  # noqa: SLF001
        Tensor.__pow__: _in_32_bits,
    }
    return {**cast, **wide, **norms, **soft, **losses}


def _in_32_bits(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _autocast.is_on():
        return function(*args, **kwargs)
    args = tuple(_autocast.in_dtype(value, torch.float32) for value in args)
    kwargs = {name: _autocast.in_dtype(value, torch.float32) for name, value in kwargs.items()}
    with _autocast.without_autocast():
        return function(*args, **kwargs)


def _wide(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    first = args[0] if args else kwargs.get("input")
    is_16_bit = isinstance(first, Tensor) and first.dtype in _autocast.SIXTEEN_BIT
    named = kwargs.get("dtype") is not None or any(isinstance(value, torch.dtype) for value in args)
    if not _autocast.is_on() or not is_16_bit or named:
        return function(*args, **kwargs)
    with _autocast.without_autocast():
        return function(*args, **{**kwargs, "dtype": torch.float32})


def _softmax(
    kernel: Callable[..., Any],
    _target: Target,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """From fp16 to 32 bits in one kernel, with or without autocast; bf16 is widened first."""
    x, dim, dtype = _soft_arguments(*args, **kwargs)
    if dtype is None and _autocast.is_on() and x.dtype in _autocast.SIXTEEN_BIT:
        dtype = torch.float32
    with _autocast.without_autocast():
        if x.dtype == torch.float16 and dtype == torch.float32:
            return kernel(x, dim, True)
        return function(x, dim, dtype=dtype)


def _soft_arguments(
    input: Tensor,  # noqa: A002 (torch's name)
    dim: int,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, int, torch.dtype | None]:
    """The names that torch gives the arguments."""
    return input, dim, dtype


def _cross_entropy(target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """CUDA has no entry for it: the logarithms stay in the format of the scores, and only ``nll_loss`` widens them."""
    if not _autocast.is_on():
        return function(*args, **kwargs)
    scores, labels, weight, reduction, ignored, smoothing = args
    if labels.is_floating_point() or (smoothing and weight is not None):
        return _in_32_bits(target, function, args, kwargs)
    dim = 0 if scores.dim() == 1 else 1
    with _autocast.without_autocast():
        logs = F.log_softmax(scores, dim)
        loss = torch._C._nn.nll_loss_nd(logs.float(), labels, weight, reduction, ignored)  # noqa: SLF001
        if not smoothing:
            return loss
        others = -logs.sum(dim, dtype=torch.float32).masked_fill_(labels == ignored, 0.0)
        return loss * (1 - smoothing) + (others.sum() if reduction else others) * (smoothing / scores.shape[dim])


RULE = Rule(
    name="autocast_fp32",
    meaning=Text("rule.autocast_fp32", "Under autocast, norms, losses and sums are computed in 32 bits."),
    source="pytorch aten/src/ATen/autocast_mode.h: AT_FORALL_FP32, AT_FORALL_FP32_SET_OPT_DTYPE; LossNLL.cpp; SoftMax.cpp",
    functions=_functions,
)
