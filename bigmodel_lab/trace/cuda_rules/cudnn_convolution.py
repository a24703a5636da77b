"""Kernels on tensor cores want channels last: cuDNN copies a batch that is laid out otherwise, there and back.

The size of the workspace is cuDNN's own decision and is published nowhere. What is charged here
are the copies that its kernels ``nchwToNhwc`` and ``nhwcToNchw`` write, which profiles of such
convolutions show. Kernels that need none, for few channels or without tensor cores, are charged
nothing: bf16 on a card before Ampere has none, and a ResNet-50 there is met within 0.02 % (T4,
torch-preflight 0.5.0).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_FEWEST_CHANNELS = 8
"""Below that, tensor-core kernels do not pay and cuDNN's heuristics take others."""


def copies_layout(x: Tensor, weight: Tensor, target: Target) -> bool:
    """Whether cuDNN has to copy this input into another layout.

    Args:
        x: Input, shape (samples, channels, …).
        weight: Shape (channels out, channels in, …).
        target: The card.

    >>> x, w = torch.empty(8, 64, 7, 7, device="meta"), torch.empty(64, 64, 3, 3, device="meta")
    >>> copies_layout(x, w, Target()), copies_layout(x.to(memory_format=torch.channels_last), w, Target())
    (True, False)
    """
    tensor_cores = target.capability >= ((7, 0) if x.dtype == torch.float16 else (8, 0))
    enough = min(weight.shape[0], weight.shape[1]) >= _FEWEST_CHANNELS
    return x.dim() == 4 and tensor_cores and enough and not _is_last(x)


def _is_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _forward(call: Call, target: Target) -> Iterable[Extra]:
    x, weight = call.args[0], call.args[1]
    if copies_layout(x, weight, target):
        yield Extra(_bytes(x, weight, call.outputs), "cuDNN convolution workspace")
    elif _is_last(x) and not _is_last(weight):
        yield Extra(_bytes(weight), "weight in the layout of the batch")


def _backward(call: Call, target: Target) -> Iterable[Extra]:
    """For the input and for the weight, one after the other."""
    gradient, x, weight = call.args[0], call.args[1], call.args[2]
    if copies_layout(x, weight, target):
        yield Extra(_bytes(gradient, x, weight), "cuDNN convolution workspace")


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


RULE = Rule(
    name="cudnn_convolution",
    meaning=Text("rule.cudnn_convolution", "cuDNN copies batches into the layout of its kernels."),
    source="NVIDIA, Tensor layouts in cuDNN (convolutional layers user's guide); the size is derived, not published",
    operations={"aten.convolution": _forward, "aten.convolution_backward": _backward},
)
