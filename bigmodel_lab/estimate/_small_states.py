"""Optimizers whose states are small or lie in the host's memory, by the size rules of bitsandbytes.

bitsandbytes 0.50, ``optim/optimizer.py`` and ``optim/ademamix.py``. These classes make the states and change no weight:
the kernels of bitsandbytes make no temporary tensors, so the states are all there is to size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text

_BLOCK = 256  # elements of a state that share one scale
_EIGHT_BIT_FROM = 4096  # elements of a parameter; smaller ones keep their states in fp32 (min_8bit_size)
_PAGED_FROM = 100_000  # elements of a parameter; smaller ones keep their states on the card


@dataclass(frozen=True)
class States:
    """What an optimizer keeps for each parameter."""

    copies: tuple[int, ...]
    """Each state's length in elements of the parameter: AdamW has two states of one each, ``(1, 1)``."""
    bits: int
    """8, with a scale for every 256 elements, or 32."""
    paged: bool = False
    """States of large parameters lie in unified memory, outside of what torch allocates on the card."""


class StatesOnly(torch.optim.Optimizer):
    """Makes the states of an optimizer of bitsandbytes and leaves the weights as they are.

    >>> weight = nn.Parameter(torch.zeros(64, 64))
    >>> weight.grad = torch.zeros_like(weight)
    >>> optimizer = StatesOnly([weight], States((1, 1), bits=8))
    >>> _ = optimizer.step()
    >>> {name: tuple(kept.shape) for name, kept in optimizer.state[weight].items() if not name.startswith("qmap")}
    {'state1': (64, 64), 'absmax1': (16,), 'state2': (64, 64), 'absmax2': (16,)}
    """

    def __init__(self, parameters: Iterable[nn.Parameter], states: States) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.states = states
        self.host_bytes = 0
        """Bytes of paged states so far. The driver moves their pages to the card for the update while it has room."""
        self._codes: list[Tensor] = []

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes the states of every parameter that has a gradient and no states yet.

        Args:
            closure: Computes the loss; None where that has been done.
        """
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    self._make_states(parameter)
        return loss

    def _make_states(self, parameter: nn.Parameter) -> None:
        small = self.states.bits == 8 and parameter.numel() >= _EIGHT_BIT_FROM
        if small and not self._codes:  # one table of 256 values for each state, shared by all parameters
            self._codes = [torch.zeros(256, device=parameter.device) for _ in self.states.copies]
        state = self.state[parameter]
        for nth, copies in enumerate(self.states.copies, start=1):
            kept = self._buffer(parameter, copies, torch.uint8 if small else torch.float32)
            if kept is not None:
                state[f"state{nth}"] = kept
            if small:
                state[f"qmap{nth}"] = self._codes[nth - 1]
                scales = copies * -(-parameter.numel() // _BLOCK)
                state[f"absmax{nth}"] = torch.zeros(scales, device=parameter.device)

    def _buffer(self, parameter: nn.Parameter, copies: int, dtype: torch.dtype) -> Tensor | None:
        """A state, or None where it lies in the host's memory."""
        if self.states.paged and parameter.numel() >= _PAGED_FROM:
            self.host_bytes += copies * parameter.numel() * dtype.itemsize
            return None
        shape = parameter.shape if copies == 1 else (copies, *parameter.shape)
        return torch.zeros(shape, dtype=dtype, device=parameter.device)


_ADAM, _LION, _ADEMAMIX = (1, 1), (1,), (2, 1)
STATES = {
    "adamw_8bit": States(_ADAM, 8),
    "adamw_bnb_8bit": States(_ADAM, 8),
    "paged_adamw_8bit": States(_ADAM, 8, paged=True),
    "paged_adamw_32bit": States(_ADAM, 32, paged=True),
    "lion_8bit": States(_LION, 8),
    "lion_32bit": States(_LION, 32),
    "paged_lion_8bit": States(_LION, 8, paged=True),
    "paged_lion_32bit": States(_LION, 32, paged=True),
    "rmsprop_bnb": States(_LION, 32),
    "rmsprop_bnb_8bit": States(_LION, 8),
    "rmsprop_bnb_32bit": States(_LION, 32),
    "ademamix": States(_ADEMAMIX, 32),
    "ademamix_8bit": States(_ADEMAMIX, 8),
    "paged_ademamix_8bit": States(_ADEMAMIX, 8, paged=True),
    "paged_ademamix_32bit": States(_ADEMAMIX, 32, paged=True),
}
"""States by the names that Transformers' ``TrainingArguments`` knows these optimizers by."""


def states_only(name: str) -> Callable[[nn.Module], StatesOnly]:
    """What makes the optimizer with this name for the trainable parameters of a model.

    Raises:
        UnknownNameError: There is none; lists those that exist.

    >>> optimizer = states_only("paged_adamw_8bit")(nn.Linear(2, 1))
    >>> optimizer.states.paged
    True
    """
    if name not in STATES:
        raise UnknownNameError(text("states.kind", "optimizer of bitsandbytes"), name, STATES)
    return partial(_over_trainable, STATES[name])


def _over_trainable(states: States, model: nn.Module) -> StatesOnly:
    return StatesOnly([p for p in model.parameters() if p.requires_grad], states)
