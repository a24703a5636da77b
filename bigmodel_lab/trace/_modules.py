"""Which module a program is in, in the forward pass and in the backward pass that follows it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

_sequence_number = torch._C._autograd._get_sequence_nr  # noqa: SLF001
"""Number that autograd gives to the next node of the graph."""


class ModulePath:
    """Follows a model by hooks on its modules.

    Autograd numbers its nodes in the order of the forward pass. So the numbers at which the
    program entered and left each module tell, for a node of the backward pass, where it came from.
    """

    def __init__(self, model: nn.Module, others: Iterable[tuple[str, nn.Module]] = ()) -> None:
        """Args: the model, and modules beside it with the names that they go by."""
        self._stack: list[str] = [""]
        self._numbers: list[int] = [0]
        self._names: list[str] = [""]
        seen: set[nn.Module] = set()
        for name, module in [
            *_named(model, "", seen),
            *(pair for prefix, other in others for pair in _named(other, prefix, seen)),
        ]:
            module.register_forward_pre_hook(partial(self._entered, name))
            module.register_forward_hook(self._left, always_call=True)

    @property
    def is_inside(self) -> bool:
        """The forward pass of some module is running."""
        return len(self._stack) > 1

    def current(self, node_number: int | None) -> str:
        """Dotted name of the module.

        Args:
            node_number: Of the node of autograd that runs now; None in the forward pass. While activation
                checkpointing runs a module again, within the backward pass, that module counts.
        """
        if node_number is None or self.is_inside:
            return self._stack[-1]
        return self._names[max(0, bisect_right(self._numbers, node_number) - 1)]

    def _entered(self, name: str, _module: nn.Module, _inputs: Any) -> None:
        self._stack.append(name)
        self._switched()

    def _left(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self._stack.pop()
        self._switched()

    def _switched(self) -> None:
        self._numbers.append(_sequence_number())
        self._names.append(self._stack[-1])


def _named(model: nn.Module, prefix: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    yield from model.named_modules(seen, prefix)
