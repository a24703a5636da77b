"""Norms keep their statistics in 32 bits, and their kernels write a few numbers for each channel or group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import SIXTEEN_BIT
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_NUMBER = 4
"""Bytes of a statistic."""
_LABEL = "statistics of a norm"
_TILE, _THREADS, _EACH, _MOST_ROWS, _FEWEST_ROWS = 32, 512, 16, 128, 8
"""Of ``flexible_launch_configs`` in Normalization.cuh."""
_CUDNN_SAMPLES = {True: 880_801, False: 65_535}
"""Most samples that cuDNN takes, in training and not."""


def _of_layers(call: Call, _target: Target) -> Mapping[int, int]:
    """Mean and reciprocal deviation of each row."""
    return {number: _NUMBER * call.outputs[number].numel() for number in (1, 2)} if _is_16_bit(call.args[0]) else {}


def _layer_copy(call: Call, _target: Target) -> Iterable[Extra]:
    """The kernel reads rows that lie together."""
    x = call.args[0]
    if not x.is_contiguous():
        yield Extra(x.numel() * x.element_size(), "rows that lie together")


def _of_batches(call: Call, _target: Target) -> Mapping[int, int]:
    """Mean and reciprocal deviation of each channel; PyTorch's own kernels keep them outside training, too."""
    x = call.args[0]
    return {} if _takes_cudnn(call.args) else dict.fromkeys((1, 2), _NUMBER * x.shape[1])


def _batch_forward(call: Call, _target: Target) -> Iterable[Extra]:
    """Where channels lie last, blocks of threads share a channel and meet in a buffer."""
    x, training = call.args[0], call.args[5]
    if training and _is_last(x) and not _takes_cudnn(call.args):
        columns, rows = _grid(x)
        if rows > 1:
            yield Extra(4 * x.shape[1] * rows * _NUMBER, _LABEL)
            yield Extra(columns * _NUMBER, _LABEL)


def _batch_backward(call: Call, _target: Target) -> Iterable[Extra]:
    """Two sums for each channel; outside training a gradient whose channels lie last is copied."""
    x, weight, training = call.args[1], call.args[2], call.args[7]
    if not _is_last(x) or (training and x.dim() > 2 and _takes_cudnn((x, weight, weight, *call.args[3:5], True))):
        return
    if training or x.dim() == 2:
        yield Extra(2 * x.shape[1] * _NUMBER, _LABEL)
    else:
        yield Extra(x.numel() * x.element_size(), "gradient in another layout")


def _group_forward(call: Call, _target: Target) -> Iterable[Extra]:
    """In 16 bits means and deviations in 32; a factor and a summand for each channel."""
    x, weight, bias, samples, channels, area, groups = call.args[:7]
    if _is_16_bit(x):
        yield Extra(2 * samples * groups * _NUMBER, _LABEL)
    if area > 1 and (weight is not None or bias is not None):
        yield Extra(2 * samples * channels * _NUMBER, _LABEL)


def _group_backward(call: Call, _target: Target) -> Iterable[Extra]:
    """Two sums and a factor for each channel, two for each group."""
    weight, samples, channels, area, groups = call.args[4:9]
    yield Extra(2 * samples * channels * _NUMBER, _LABEL)
    yield Extra(2 * samples * groups * _NUMBER, _LABEL)
    if area > 1 and weight is not None:
        yield Extra(samples * channels * _NUMBER, _LABEL)


def _is_16_bit(x: Tensor) -> bool:
    return x.dtype in SIXTEEN_BIT


def _is_last(x: Tensor) -> bool:
    """Channels lie last, as they do where there is nothing behind them."""
    if x.dim() == 4:
        return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return x.dim() == 2


def _takes_cudnn(args: tuple[Any, ...]) -> bool:
    """As ``_select_batch_norm_backend`` decides; the arguments are those of ``native_batch_norm``."""
    x, weight, bias, mean, _, training = args[:6]
    if weight is None or bias is None or x.dim() < 3 or torch.bfloat16 in {x.dtype, weight.dtype}:
        return False
    known = mean is not None or training
    wide = x.dtype != torch.float16 or weight.dtype == torch.float32
    return bool(known and wide and x.shape[0] <= _CUDNN_SAMPLES[bool(training)])


def _grid(x: Tensor) -> tuple[int, int]:
    """Blocks along the channels and along what is averaged."""
    channels = x.shape[1]
    averaged = x.numel() // channels
    width = min(_power(channels), _TILE)
    height = min(_power(-(-averaged // _EACH)), _THREADS // width)
    if width * height != _THREADS:
        width = min(_power(channels), _THREADS // height)
    rows = min(-(-averaged // (height * _EACH)), _MOST_ROWS)
    return -(-channels // width), rows if rows >= _FEWEST_ROWS else 1


def _power(number: int) -> int:
    """The largest power of two up to it."""
    return 1 << (max(1, number).bit_length() - 1)


RULE = Rule(
    name="norm_statistics",
    meaning=Text("rule.norm_statistics", "Norms keep their statistics in 32 bits."),
    source="pytorch aten/src/ATen/native/cuda/layer_norm_kernel.cu, group_norm_kernel.cu, Normalization.cu and Normalization.cuh; "
    "native/Normalization.cpp, _select_batch_norm_backend",
    operations={
        "aten.native_layer_norm": _layer_copy,
        "aten.native_batch_norm": _batch_forward,
        "aten.native_batch_norm_backward": _batch_backward,
        "aten.native_group_norm": _group_forward,
        "aten.native_group_norm_backward": _group_backward,
    },
    outputs={"aten.native_layer_norm": _of_layers, "aten.native_batch_norm": _of_batches},
)
