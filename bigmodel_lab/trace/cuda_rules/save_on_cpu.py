"""Under ``torch.autograd.graph.save_on_cpu`` what the backward pass needs waits on the host, and is copied back one by one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._corrected import CorrectedMethod, Method
from bigmodel_lab.trace.cuda_rules.base import Rule

_HOST = "meta"
"""Stand-ins of the card's tensors look like CPU tensors, so those on the host need another name."""


def _construct(_usual: Method, made: save_on_cpu, *_args: Any, **_kwargs: Any) -> None:
    """The hooks as they are, but with a host that is not the card; pinned or not makes no difference to the card."""
    saved_tensors_hooks.__init__(made, _to_the_host, _back)


def _to_the_host(tensor: Tensor) -> tuple[torch.device, Tensor]:
    return tensor.device, tensor.to(_HOST)


def _back(packed: tuple[torch.device, Tensor]) -> Tensor:
    device, tensor = packed
    return tensor.to(device)


_CORRECTED = CorrectedMethod(save_on_cpu, "__init__", _construct)


def _around() -> AbstractContextManager[None]:
    return _CORRECTED.in_this_thread()


RULE = Rule(
    name="save_on_cpu",
    meaning=Text("rule.save_on_cpu", "What save_on_cpu keeps for the backward pass is not on the card."),
    source="pytorch torch/autograd/graph.py, save_on_cpu: pack_to_cpu, unpack_from_cpu",
    around=_around,
)
