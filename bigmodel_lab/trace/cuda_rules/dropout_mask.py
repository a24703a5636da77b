"""Dropout on CUDA keeps one byte an element for the backward pass; on a CPU it keeps the mask as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Outputs, Replacement, Rule, Step, Target


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    return {torch.dropout: _dropout}


def _dropout(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The fused kernel, which CUDA takes for 0 < p < 1 in training."""
    x, p, train = _arguments(*args, **kwargs)
    if train and 0 < p < 1 and x.numel():
        return torch.native_dropout(x, p, True)[0]
    return function(x, p, train)


def _mask_first(_call: Call, _target: Target) -> Iterable[Step]:
    yield Outputs((1, 0))


def _arguments(input: Tensor, p: float, train: bool) -> tuple[Tensor, float, bool]:  # noqa: A002
    """The names that torch gives the arguments."""
    return input, p, train


RULE = Rule(
    name="dropout_mask",
    meaning=Text("rule.dropout_mask", "Dropout keeps its mask as one byte an element."),
    source="pytorch aten/src/ATen/native/Dropout.cpp, is_fused_kernel_acceptable; native_dropout in derivatives.yaml",
    functions=_functions,
    operations={"aten.native_dropout": _mask_first},
)
