"""Above autograd: functions of torch that CUDA runs otherwise than a CPU are replaced while a step is traced."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from torch.overrides import TorchFunctionMode

from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Replacement, Target

_CHECKS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
"""Names by which functions of torch written in Python ask whether somebody wants to run in their place."""


class CudaFunctions(TorchFunctionMode):
    """Runs the replacements of all rules, in this thread only."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target
        self._replacements = _replacements()
        self._inside: list[FunctionType] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces the function, or looks into it."""
        kwargs = kwargs or {}
        replacement = self._replacements.get(func)
        if replacement is not None:
            return replacement(self._target, func, args, kwargs)
        opened = _opened(func) if isinstance(func, FunctionType) else None
        if opened is None or func in self._inside:  # a method in Python calls the one in C, which has its name
            return func(*args, **kwargs)
        self._inside.append(func)
        try:
            with self:  # it calls others, which are looked at in turn
                return opened(*args, **kwargs)
        finally:
            self._inside.pop()


def _replacements() -> dict[Callable[..., Any], Replacement]:
    found: dict[Callable[..., Any], Replacement] = {}
    for rule in RULES.all():
        found.update(rule.functions() if rule.functions else {})
    return found


@cache
def _opened(function: FunctionType) -> FunctionType | None:
    """A function of torch that does not ask again whether it is replaced; None where it never asks.

    Without this the question would be answered with yes for ever, and what the function calls
    could not be seen.
    """
    asks = [name for name in _CHECKS if name in function.__code__.co_names]
    if not asks:
        return None
    names = {**function.__globals__, **dict.fromkeys(asks, _never)}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _never(*_values: Any) -> bool:
    return False
