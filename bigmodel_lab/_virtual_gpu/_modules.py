"""Which module of a model the program is in, while it is in the forward pass."""

from __future__ import annotations

from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle


class ModulePath:
    """Follows the modules of adopted models by hooks that belong to torch, not to the models.

    So a model can be copied and saved meanwhile, and nothing is left on it afterwards.
    """

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._stack: list[str] = []
        self._handles: list[RemovableHandle] = []
        self._thread = 0

    def add(self, model: nn.Module) -> None:
        """Know the modules of this model by name."""
        self._names.update((module, name) for name, module in model.named_modules())

    def follow(self) -> None:
        """From now on, in this thread. Again: nothing."""
        if self._handles or not self._names:
            return
        self._thread = get_ident()
        self._handles = [
            register_module_forward_pre_hook(self._entered),
            register_module_forward_hook(self._left, always_call=True),
        ]

    def rest(self) -> None:
        """Follow no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._stack = [], []

    @property
    def current(self) -> str:
        """Dotted name of the module; empty outside every adopted one."""
        return self._stack[-1] if self._stack else ""

    def _entered(self, module: nn.Module, _inputs: Any) -> None:
        if get_ident() == self._thread and module in self._names:
            self._stack.append(self._names[module])

    def _left(self, module: nn.Module, _inputs: Any, _output: Any) -> None:
        if get_ident() == self._thread and module in self._names and self._stack:
            self._stack.pop()
