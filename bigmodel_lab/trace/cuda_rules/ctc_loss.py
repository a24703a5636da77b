"""The CTC loss keeps a table of probabilities in each direction; of targets whose lengths only the card knows, the longest possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Replacement, Rule, Target


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    return {torch.ctc_loss: _with_lengths}


def _with_lengths(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Lengths given as lists become tensors of the host, with the values that they have; torch would fill a stand-in with them."""
    scores, targets, *lengths = args
    return function(scores, targets, *map(_on_the_host, lengths[:2]), *lengths[2:], **kwargs)


def _on_the_host(lengths: Any) -> Any:
    if not isinstance(lengths, tuple | list):
        return lengths
    with unset_fake_temporarily():
        return torch.tensor(lengths)


def _backward(call: Call, _target: Target) -> Iterable[Extra]:
    """The table of the other direction, as large as the one that the forward pass has kept."""
    alpha = call.args[6]
    return [Extra(alpha.numel() * alpha.element_size(), "CTC table")]


RULE = Rule(
    name="ctc_loss",
    meaning=Text(
        "rule.ctc_loss",
        "The CTC loss keeps a table (samples, time, 2 × longest target + 1), and makes a second one going back.",
    ),
    source="aten/src/ATen/native/cuda/LossCTC.cu: log_alpha in ctc_loss_gpu_template, log_beta in ctc_loss_backward_gpu_template",
    functions=_functions,
    operations={"aten._ctc_loss_backward": _backward},
)
