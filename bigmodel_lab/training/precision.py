"""Number formats: what was asked for, what the device can do, and why they may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
        capability: Compute capability of the card, e.g. ``(7, 5)``, also of one that is simulated while the CPU
            computes; None asks torch, on CUDA only.

    >>> chosen = resolve_precision("fp16", "cpu")
    >>> chosen.name, chosen.reason
    ('fp32', 'fp16 was asked for, but mixed precision runs on CUDA only; cpu computes in fp32.')
    """
    kind = torch.device(device).type
    if requested == "fp32":
        return Precision(requested, requested, text("precision.as_asked", "As asked for."))
    if kind != "cuda" and capability is None:
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

    def start_over(self) -> None:
        """A step was broken off: forget how far it had come."""


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
        self._device_type = device_type
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

    def start_over(self) -> None:
        """A scaler that was stopped between unscaling and stepping refuses the next step; a new one does not."""
        learned = self.state()
        self.scaler = torch.amp.GradScaler(self._device_type)
        self.load_state(learned)


class OffloadedArithmetic(Arithmetic):
    """Another arithmetic, while what the backward pass needs waits in main memory."""

    def __init__(self, inner: Arithmetic, offload: Callable[[], AbstractContextManager[object]]) -> None:
        """Args: ``offload`` makes what surrounds each forward pass, e.g. ``torch.autograd.graph.save_on_cpu``."""
        self.inner = inner
        """How it computes."""
        self._offload = offload

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Surrounds the forward pass; what is computed outside of autograd goes nowhere."""
        with self.inner.forward(), self._offload():
            yield

    def backward(self, loss: Tensor) -> None:
        """As the other does."""
        self.inner.backward(loss)

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """As the other does."""
        self.inner.update(optimizer)

    def state(self) -> dict[str, Any]:
        """Of the other."""
        return self.inner.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Into the other."""
        self.inner.load_state(state)

    def start_over(self) -> None:
        """As the other does."""
        self.inner.start_over()


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


class MatmulPrecision:
    """TF32 for matrix products where it was chosen; the person's setting is kept and comes back.

    >>> before = torch.get_float32_matmul_precision()
    >>> products = MatmulPrecision()
    >>> products.use(Precision("tf32", "tf32", "As asked for."), "cuda:0")
    >>> torch.get_float32_matmul_precision()
    'high'
    >>> products.restore()
    >>> torch.get_float32_matmul_precision() == before
    True
    """

    def __init__(self) -> None:
        self._persons: str | None = None

    def use(self, precision: Precision, device: str) -> None:
        """Products of the whole process in this format, on a CUDA device.

        Args:
            precision: Of the run.
            device: Where it computes; a CPU that stands for a card has no TF32.
        """
        if precision.name != "tf32" or torch.device(device).type != "cuda":
            self.restore()
        elif self._persons is None:
            self._persons = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high")

    def restore(self) -> None:
        """As the person had it."""
        if self._persons is not None:
            torch.set_float32_matmul_precision(self._persons)
            self._persons = None


@contextmanager
def matmul_precision(precision: Precision, device: str = "cuda") -> Iterator[None]:
    """TF32 for matrix products of the block where it was chosen; the person's setting comes back afterwards."""
    products = MatmulPrecision()
    products.use(precision, device)
    try:
        yield
    finally:
        products.restore()


_NOTHING = nullcontext()
