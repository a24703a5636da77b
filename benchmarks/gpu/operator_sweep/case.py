"""One operator with its tensors, and how both sides run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number formats that are swept."""
Kind = Any
"""``"float"`` (the format of the case), or a dtype of its own."""


@dataclass(frozen=True)
class Spec:
    """A tensor to be made."""

    shape: tuple[int, ...]
    """Its shape."""
    dtype: torch.dtype | None = None
    """None is the format of the case."""
    layout: str = "contiguous"
    """``"contiguous"``, ``"transposed"`` (the last two dimensions) or ``"channels_last"``."""
    needs_grad: bool = True
    """A gradient is asked for, where the format has one."""

    def make(self, dtype: torch.dtype, device: str) -> Tensor:
        """The tensor, with zeros for numbers where it has any.

        Args:
            dtype: Format of the case.
            device: As torch writes it.
        """
        own = dtype if self.dtype is None else self.dtype
        made = torch.zeros(self._stored(), dtype=own, device=device)
        if self.layout == "transposed":
            made = made.transpose(-1, -2)
        if self.layout == "channels_last":
            made = made.movedim(-1, 1)
        return made.requires_grad_(self.needs_grad and own.is_floating_point)

    def _stored(self) -> tuple[int, ...]:
        if self.layout == "transposed":
            return (*self.shape[:-2], self.shape[-1], self.shape[-2])
        if self.layout == "channels_last":
            return (self.shape[0], *self.shape[2:], self.shape[1])
        return self.shape


def floats(*shape: int, layout: str = "contiguous") -> Spec:
    """Numbers in the format of the case, with a gradient."""
    return Spec(shape, None, layout)


def fixed(*shape: int, dtype: torch.dtype | None = None, layout: str = "contiguous") -> Spec:
    """Numbers without a gradient."""
    return Spec(shape, dtype, layout, needs_grad=False)


def numbers(*shape: int) -> Spec:
    """Whole numbers of 64 bits, such as labels and places."""
    return Spec(shape, torch.int64, needs_grad=False)


def mask(*shape: int) -> Spec:
    """Truth values."""
    return Spec(shape, torch.bool, needs_grad=False)


@dataclass(frozen=True)
class Operator:
    """One operator, its tensors and its format."""

    name: str
    """Unique; parts separated by spaces."""
    run: Callable[..., Any]
    """(model, *tensors) → a tensor, or a tree of them."""
    tensors: tuple[Spec, ...] = ()
    """What it gets."""
    model: Callable[[], nn.Module] = nn.Identity
    """Makes the module that it gets, on the meta device."""
    dtype: str = "fp32"
    """Name in :data:`DTYPES`."""
    autocast: bool = False
    """Weights stay fp32, and the format is that of autocast."""
    grad: str = "backward"
    """``"backward"``, ``"no_grad"`` or ``"inference_mode"``."""

    @property
    def title(self) -> str:
        """With its format and mode."""
        mode = "" if self.grad == "backward" else f" {self.grad}"
        return f"{self.name} {'autocast ' if self.autocast else ''}{self.dtype}{mode}"

    def inputs(self, device: str) -> list[Tensor]:
        """Its tensors.

        Args:
            device: As torch writes it.
        """
        dtype = torch.float32 if self.autocast else DTYPES[self.dtype]
        return [spec.make(dtype, device) for spec in self.tensors]

    def module(self) -> nn.Module:
        """Its module, on the meta device."""
        with torch.device("meta"):
            made = self.model()
        return made if self.autocast else made.to(DTYPES[self.dtype])

    def mode(self, device: str) -> AbstractContextManager[Any]:
        """Autocast, or nothing.

        Args:
            device: Where autocast is for.
        """
        return torch.autocast(device, dtype=DTYPES[self.dtype]) if self.autocast else nullcontext()

    def without_graph(self) -> AbstractContextManager[Any]:
        """No autograd where the case wants none."""
        if self.grad == "backward":
            return nullcontext()
        return torch.no_grad() if self.grad == "no_grad" else torch.inference_mode()


def in_formats(cases: Sequence[Operator], *dtypes: str, autocast: bool = False) -> Iterator[Operator]:
    """Each case in each format.

    Args:
        cases: In any format.
        dtypes: Names in :data:`DTYPES`.
        autocast: With weights of fp32.
    """
    for case in cases:
        for dtype in dtypes:
            yield replace(case, dtype=dtype, autocast=autocast)


def leaves(values: Any) -> list[Tensor]:
    """Tensors of a tree that gradients can come from.

    Args:
        values: What an operator returned.
    """
    if isinstance(values, Tensor):
        return [values] if values.requires_grad else []
    if isinstance(values, dict):
        values = list(values.values())
    return [leaf for value in values for leaf in leaves(value)] if isinstance(values, tuple | list) else []
