"""Losses over whole tensors write every element's loss before they add them up; of some the sum keeps that memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target
from bigmodel_lab.trace.cuda_rules.reduction_buffers import sum_buffers

_LABEL = "loss of every element"


def _added(call: Call, target: Target) -> Iterable[Extra]:
    """One tensor as large as the scores, and the buffer of the sum."""
    if not _is_per_element(call):
        x = call.args[0]
        yield Extra(_bytes(x), _LABEL)
        yield from sum_buffers(x, [], target)


def _with_logits(call: Call, target: Target) -> Iterable[Extra]:
    """The logarithm of the sigmoid besides."""
    yield Extra(_bytes(call.args[0]), "logarithm of the sigmoid")
    yield from _added(call, target)


def _oversized(call: Call, _target: Target) -> Mapping[int, int]:
    """The result is made with the shape of the scores and then shrunk to one number, which gives nothing back."""
    return {} if _is_per_element(call) else {0: _bytes(call.args[0])}


def _without_buffer(_call: Call, _target: Target) -> Mapping[int, int]:
    """Only a CPU keeps a buffer for the backward pass."""
    return {1: 0}


def _is_per_element(call: Call) -> bool:
    return isinstance(call.outputs, Tensor) and call.outputs.dim() > 0


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()


RULE = Rule(
    name="loss_intermediates",
    meaning=Text("rule.loss_intermediates", "Losses write the loss of every element before they add them up."),
    source="pytorch aten/src/ATen/native/Loss.cpp: mse_loss, smooth_l1_loss, huber_loss, binary_cross_entropy_with_logits; "
    "log_sigmoid_forward in cuda/Activation.cpp; sizes measured on an emulated card",
    operations={
        "aten.mse_loss": _added,
        "aten.smooth_l1_loss": _added,
        "aten.huber_loss": _added,
        "aten.binary_cross_entropy_with_logits": _with_logits,
    },
    outputs={
        "aten.mse_loss": _oversized,
        "aten.smooth_l1_loss": _oversized,
        "aten.log_sigmoid_forward": _without_buffer,
    },
)
