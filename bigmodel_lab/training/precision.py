"""Number formats: what was asked for, what the device can do, and why they may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import text

_TENSOR_FLOAT_FROM = (8, 0)  # compute capability of Ampere, the first with TF32 and bf16 in hardware


@dataclass(frozen=True)
class Precision:
    """The number format of a run."""

    name: str
    """``"fp32"``, ``"tf32"``, ``"bf16"`` or ``"fp16"``."""
    requested: str
    """What was asked for."""
    reason: str
    """Why it is this one, in words for a person."""

    @property
    def facts(self) -> dict[str, str]:
        """As values of JSON."""
        return {"precision": self.name, "requested": self.requested, "reason": self.reason}


def resolve_precision(requested: str, device: str, capability: tuple[int, int] | None = None) -> Precision:
    """The number format that a device really computes in.

    Args:
        requested: ``"fp32"``, ``"tf32"``, ``"bf16"`` or ``"fp16"``.
        device: A torch device such as ``"cuda:0"`` or ``"cpu"``.
        capability: Compute capability of the card, e.g. ``(7, 5)``; None asks torch, on CUDA only.

    >>> chosen = resolve_precision("fp16", "cpu")
    >>> chosen.name, chosen.reason
    ('fp32', 'fp16 was asked for, but mixed precision runs on CUDA only; cpu computes in fp32.')
    """
    kind = torch.device(device).type
    if requested == "fp32":
        return Precision(requested, requested, text("precision.as_asked", "As asked for."))
    if kind != "cuda":
        reason = text(
            "precision.cuda_only",
            "{requested} was asked for, but mixed precision runs on CUDA only; {device} computes in fp32.",
            requested=requested,
            device=kind,
        )
        return Precision("fp32", requested, reason)
    if requested == "fp16":
        return Precision(requested, requested, text("precision.fp16", "As asked for, with a gradient scaler."))
    capability = capability or torch.cuda.get_device_capability(device)
    if capability >= _TENSOR_FLOAT_FROM:
        return Precision(requested, requested, text("precision.as_asked", "As asked for."))
    return _on_older_card(requested, capability)


def _on_older_card(requested: str, capability: tuple[int, int]) -> Precision:
    instead = "fp16" if requested == "bf16" else "fp32"
    reason = text(
        "precision.older_card",
        "{requested} was asked for, but needs compute capability 8.0 (Ampere) and this card has {major}.{minor}; "
        "it computes in {instead}.",
        requested=requested,
        major=capability[0],
        minor=capability[1],
        instead=instead + (" with a gradient scaler" if instead == "fp16" else ""),
    )
    return Precision(instead, requested, reason)


class Arithmetic:
    """How a step computes in fp32 (and tf32): nothing is done to the numbers.

    The other number formats are its subclasses, so that the step reads the same for all.
    """

    def forward(self) -> AbstractContextManager[object]:
        """Surrounds the forward pass."""
        return _NOTHING

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of the loss to the parameters."""
        loss.backward()  # type: ignore[no-untyped-call]

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes the optimizer's step from the gradients."""
        optimizer.step()

    def state(self) -> dict[str, Any]:
        """What it has learned on the way, as plain values; empty where there is nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""


class AutocastArithmetic(Arithmetic):
    """bf16: the forward pass in 16 bits where that is safe, weights in fp32."""

    def __init__(self, device_type: str, dtype: torch.dtype) -> None:
        self._autocast = torch.autocast(device_type, dtype=dtype)

    def forward(self) -> AbstractContextManager[object]:
        """Surrounds the forward pass by autocast."""
        return self._autocast


class ScaledArithmetic(AutocastArithmetic):
    """fp16: as bf16, with the loss scaled up so that small gradients survive.

    The scaler skips a step whose gradients overflow. To know that, torch itself reads one
    number back from the device at each step; nothing is added to it here.
    """

    def __init__(self, device_type: str, dtype: torch.dtype = torch.float16) -> None:
        super().__init__(device_type, dtype)
        self.scaler = torch.amp.GradScaler(device_type)

    def backward(self, loss: Tensor) -> None:
        """Adds the scaled gradients."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Unscales the gradients, steps unless they overflowed, and adapts the scale."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """Scale and how long it has held."""
        return dict(self.scaler.state_dict())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over scale and how long it has held."""
        self.scaler.load_state_dict(dict(state))


def arithmetic_of(precision: Precision, device: str) -> Arithmetic:
    """The arithmetic of a step in this number format.

    >>> type(arithmetic_of(resolve_precision("bf16", "cpu"), "cpu")).__name__
    'Arithmetic'
    """
    kind = torch.device(device).type
    if precision.name == "bf16":
        return AutocastArithmetic(kind, torch.bfloat16)
    if precision.name == "fp16":
        return ScaledArithmetic(kind)
    return Arithmetic()


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """TF32 for matrix products where it was chosen; the person's setting is restored afterwards."""
    if precision.name != "tf32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


_NOTHING = nullcontext()
