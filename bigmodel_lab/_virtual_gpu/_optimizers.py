"""What optimizers do while a card is simulated: which step it is, and what their tensors are for."""

from __future__ import annotations

from collections.abc import Iterable
from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from bigmodel_lab._virtual_gpu._ledger import Ledger
from bigmodel_lab.trace._optimizers import takes_lists


class OptimizerSteps:
    """Follows the optimizers of one thread by hooks of torch's own."""

    def __init__(self, ledger: Ledger) -> None:
        self.made = 0
        """Optimizer steps that have ended."""
        self.is_running = False
        """The program is inside of one."""
        self._ledger = ledger
        self._handles: list[RemovableHandle] = []
        self._switched: list[dict[str, Any]] = []
        self._thread = 0
        self._named: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()

    def follow(self) -> None:
        """From now on, in this thread."""
        self._thread = get_ident()
        self._handles = [
            register_optimizer_step_pre_hook(self._begins),
            register_optimizer_step_post_hook(self._ends),
        ]

    def rest(self) -> None:
        """Follow no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.broken_off()

    def broken_off(self) -> None:
        """No step is running any more, however it ended."""
        self.is_running = False
        while self._switched:
            self._switched.pop()["foreach"] = None

    def name_state(self, optimizer: Optimizer) -> None:
        """What the optimizer keeps is its state."""
        self._ledger.settle()
        for parameter, state in optimizer.state.items():
            asked = self._ledger.describe(parameter, "parameter")
            for value in state.values():
                if isinstance(value, Tensor):
                    self._ledger.describe(value, "optimizer_state", asked.module if asked else None)
        self._named[optimizer] = len(optimizer.state)

    def name_gradients(self, parameters: Iterable[Tensor]) -> None:
        """These are parameters; each may have a gradient."""
        self._ledger.settle()
        for parameter in parameters:
            asked = self._ledger.describe(parameter, "parameter")
            if parameter.grad is not None:
                self._ledger.describe(parameter.grad, "gradient", asked.module if asked else None)

    def _begins(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if get_ident() != self._thread:
            return
        self.broken_off()
        self.is_running = True
        for group in optimizer.param_groups:
            self.name_gradients(group["params"])
            if takes_lists(optimizer, group) and _can_take_lists(group):
                group["foreach"] = True
                self._switched.append(group)

    def _ends(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if get_ident() != self._thread:
            return
        self.broken_off()
        self.made += 1
        if self._named.get(optimizer) != len(optimizer.state):  # it is made in the first step, as a rule
            self.name_state(optimizer)


def _can_take_lists(group: dict[str, Any]) -> bool:
    """Here they really run: by lists, torch refuses a learning rate that is a tensor, and gradients that are sparse."""
    odd = isinstance(group.get("lr"), Tensor) or any(p.grad is not None and p.grad.is_sparse for p in group["params"])
    return not odd and all(type(p) in {Tensor, torch.nn.Parameter} for p in group["params"])
