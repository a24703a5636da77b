"""``torch.autocast("cuda")`` in a program that is traced without a card is autocast for the stand-ins."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.amp.autocast_mode import autocast

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._corrected import CorrectedMethod, Method
from bigmodel_lab.trace.cuda_rules.base import Rule


def _construct(
    usual: Method, made: autocast, device_type: str, dtype: torch.dtype | None = None, *args: Any, **kwargs: Any
) -> None:
    """Where no format is named, CUDA takes fp16, a CPU bf16."""
    if device_type == "cuda":
        device_type, dtype = "cpu", dtype or torch.float16
    usual(made, device_type, dtype, *args, **kwargs)


_CORRECTED = CorrectedMethod(autocast, "__init__", _construct)


def _around() -> AbstractContextManager[None]:
    return _CORRECTED.in_this_thread()


RULE = Rule(
    name="autocast_device",
    meaning=Text("rule.autocast_device", "Autocast for CUDA works on the stand-ins of the card's tensors."),
    source="pytorch torch/amp/autocast_mode.py: autocast reads device and format when it is made, and is off without a card",
    around=_around,
)
