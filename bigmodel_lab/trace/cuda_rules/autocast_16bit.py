"""Operations that autocast treats otherwise on CUDA than on a CPU: narrowed, widened to the widest argument, or left alone.

The CPU's autocast does most of the work on stand-ins. It knows no ``einsum``, ``mv`` or ``tensordot``, whose inner
products it narrows by themselves or, in inference mode, not at all; and it widens some operations that CUDA leaves as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import autocast
from torch.utils._pytree import tree_leaves, tree_map_only

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace import _autocast
from bigmodel_lab.trace._corrected import CorrectedMethod, Method
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_NARROW = "einsum addmv addr mv chain_matmul prelu"
_WIDEST = "addcdiv addcmul atan2 bilinear cross dot vdot index_put scatter_add tensordot"
_AS_GIVEN = "cat stack trace max_pool3d index_copy grid_sampler_2d grid_sampler_3d"
_AS_GIVEN_IN_NN = (
    "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d "
    "max_unpool3d pad reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d replication_pad3d"
)


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    named = [(_NARROW, _in_16_bits), (_WIDEST, _in_the_widest), (_AS_GIVEN, _as_given)]
    places = (torch, Tensor)
    found = {_of(place, name): rule for names, rule in named for name in names.split() for place in places}
    found |= {_of(torch._C._nn, name): _as_given for name in _AS_GIVEN_IN_NN.split()}  # noqa: SLF001
    found[torch.linalg.multi_dot] = _in_16_bits
    return {function: rule for function, rule in found.items() if function is not None}


def _of(place: Any, name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(place, name, None)
    return found


def _in_16_bits(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _autocast.is_on():
        return function(*args, **kwargs)
    args, kwargs = tree_map_only(Tensor, _autocast.narrowed, (args, kwargs))
    with _autocast.without_autocast():
        return function(*args, **kwargs)


def _in_the_widest(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _autocast.is_on():
        return function(*args, **kwargs)
    formats = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
    numbers = [dtype for dtype in formats if dtype.is_floating_point]
    if numbers:
        widest = reduce(torch.promote_types, numbers)
        args, kwargs = tree_map_only(Tensor, lambda tensor: _autocast.in_dtype(tensor, widest), (args, kwargs))
    with _autocast.without_autocast():
        return function(*args, **kwargs)


def _as_given(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _autocast.is_on():
        return function(*args, **kwargs)
    with _autocast.without_autocast():
        return function(*args, **kwargs)


def _left(usual: Method, context: autocast, *args: Any, **kwargs: Any) -> Any:
    """The end of the outermost autocast lets go of the narrowed weights."""
    result = usual(context, *args, **kwargs)
    torch.autocast_increment_nesting()
    if torch.autocast_decrement_nesting() == 0:
        _autocast.forget_weights()
    return result


_CORRECTED = CorrectedMethod(autocast, "__exit__", _left)


def _around() -> AbstractContextManager[None]:
    return _CORRECTED.in_this_thread()


RULE = Rule(
    name="autocast_16bit",
    meaning=Text(
        "rule.autocast_16bit",
        "Under autocast, einsum and products with vectors run in 16 bits, tensordot in the widest.",
    ),
    source="pytorch aten/src/ATen/autocast_mode.h: AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_PROMOTE; autocast_mode.cpp, "
    "cached_cast; compared with the CPU's lists in the same file",
    functions=_functions,
    around=_around,
)
