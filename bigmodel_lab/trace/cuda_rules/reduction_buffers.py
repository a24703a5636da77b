"""Sums and their kin over few results share each one among many blocks of threads, which meet in a buffer.

Above all the gradient of a bias: up to 134 MB on an H200.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import SIXTEEN_BIT
from bigmodel_lab.trace.cuda_rules._iteration import walk
from bigmodel_lab.trace.cuda_rules._reduce import Kernel, buffer_bytes
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, ExtraMemory, Rule, Target

_LABEL = "reduction buffer"


def reduction(
    x: Tensor, dims: Sequence[int], kernel: Kernel, target: Target, result_bytes: int | None = None
) -> Iterable[Extra]:
    """What a reduction asks for beside its result.

    Args:
        x: What is reduced.
        dims: Its dimensions, counted from either end; empty are all.
        kernel: The kind of reduction.
        target: The card.
        result_bytes: Of one element of the result; None is as of the input.
    """
    if not x.numel():
        return
    places = [dim % max(1, x.dim()) for dim in dims] or list(range(x.dim()))
    sizes = (kernel.input_bytes, result_bytes or kernel.input_bytes)
    walked = walk(x.shape, x.stride(), places, sizes, int(x.storage_offset()))
    buffer, counters = buffer_bytes(walked, kernel, target)
    if buffer:
        yield Extra(buffer, _LABEL)
        yield Extra(counters, _LABEL)


def adding(dtype: torch.dtype) -> Kernel:
    """A kernel that adds: 16-bit numbers are added in 32 bits and read by eight.

    Args:
        dtype: Format of what is added.
    """
    return Kernel(4, 2, 8) if dtype in SIXTEEN_BIT else Kernel(dtype.itemsize, dtype.itemsize)


def sum_buffers(x: Tensor, dims: Sequence[int], target: Target) -> list[Extra]:
    """What a sum asks for beside its result, for kernels that add up inside.

    Args:
        x: What is added.
        dims: Its dimensions.
        target: The card.
    """
    return list(reduction(x, dims, adding(x.dtype), target))


def _added(call: Call, target: Target) -> Iterable[Extra]:
    """Of another format than the result, a copy is made first, unless 16 bits are added in 32."""
    x, result = call.args[0], _first(call.outputs)
    dtype = x.dtype
    if dtype != result.dtype and not (dtype in SIXTEEN_BIT and result.dtype == torch.float32):
        dtype = result.dtype
        yield Extra(x.numel() * dtype.itemsize, "copy in the format of the result")
    yield from reduction(x, _dims(call, 1), adding(dtype), target, result.element_size())


def _of_norm(call: Call, target: Target) -> Iterable[Extra]:
    x, result = call.args[0], _first(call.outputs)
    yield from reduction(x, _dims(call, 2), adding(x.dtype), target, result.element_size())


def _spread(call: Call, target: Target) -> Iterable[Extra]:
    """Mean, squares and two counts of each part."""
    x = call.args[0]
    part = 32 if x.dtype == torch.float64 else 16
    yield from reduction(x, _dims(call, 1), Kernel(part, x.element_size(), 2), target)


def _largest(call: Call, target: Target) -> Iterable[Extra]:
    """Over one dimension the place is carried along."""
    x = call.args[0]
    if not isinstance(call.outputs, tuple | list):
        yield from reduction(x, _dims(call, 1), Kernel(x.element_size(), x.element_size()), target)
    elif len(call.args) > 1 and isinstance(call.args[1], int):
        yield from reduction(x, _dims(call, 1), Kernel(16, x.element_size()), target)


def _place(call: Call, target: Target) -> Iterable[Extra]:
    x = call.args[0]
    yield from reduction(x, _dims(call, 1), Kernel(16, x.element_size()), target, 8)


def _both_ends(call: Call, target: Target) -> Iterable[Extra]:
    x = call.args[0]
    dim = call.kwargs.get("dim")
    size = x.element_size()
    yield from reduction(x, [] if dim is None else [dim], Kernel(2 * size, size), target)


def _truth(call: Call, target: Target) -> Iterable[Extra]:
    x = call.args[0]
    yield from reduction(x, _dims(call, 1), Kernel(x.element_size(), x.element_size()), target, 1)


def _counted(call: Call, target: Target) -> Iterable[Extra]:
    """As whole numbers of 64 bits, which are added."""
    x = call.args[0]
    yield Extra(8 * x.numel(), "copy in the format of the result")
    yield from reduction(x, _dims(call, 1), adding(torch.int64), target)


def _bias(call: Call, target: Target) -> Iterable[Extra]:
    """The gradient of a convolution's bias is a sum over all that is not a channel."""
    gradient, wanted = call.args[0], call.args[-1]
    if wanted[2]:
        yield from sum_buffers(gradient, [dim for dim in range(gradient.dim()) if dim != 1], target)


def _dims(call: Call, place: int) -> Sequence[int]:
    """Argument ``dim`` of an operation; empty where it means all."""
    given = call.kwargs.get("dim", call.args[place] if len(call.args) > place else None)
    if isinstance(given, bool) or given is None:
        return []
    return [given] if isinstance(given, int) else list(given)


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


def _all_of(names: str, rule: ExtraMemory) -> dict[str, ExtraMemory]:
    return {f"aten.{name}": rule for name in names.split()}


RULE = Rule(
    name="reduction_buffers",
    meaning=Text("rule.reduction_buffers", "Sums over many rows meet in a buffer that grows with the card."),
    source="pytorch aten/src/ATen/native/cuda/Reduce.cuh, gpu_reduce_kernel; ReduceSumProdKernel.cu, ReduceMomentKernel.cu, "
    "ReduceNormKernel.cu, ReduceMaxValuesKernel.cu, ReduceArgMaxKernel.cu, ReduceLogicKernel.cu",
    operations={
        **_all_of("sum mean nansum prod", _added),
        **_all_of("linalg_vector_norm norm", _of_norm),
        **_all_of("var std var_mean std_mean", _spread),
        **_all_of("amax amin max min", _largest),
        **_all_of("argmax argmin", _place),
        **_all_of("any all", _truth),
        "aten.aminmax": _both_ends,
        "aten.count_nonzero": _counted,
        "aten.convolution_backward": _bias,
    },
)
