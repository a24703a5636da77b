"""Above autograd: functions of torch that CUDA runs otherwise than a CPU are replaced while a step is traced."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from bigmodel_lab.trace._outside import Outside
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Replacement, Target

_CHECKS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
"""Names by which functions of torch written in Python ask whether somebody wants to run in their place."""


class CudaFunctions(TorchFunctionMode):
    """Runs the replacements of all rules, in this thread only; tensors from outside the trace get their stand-ins here."""

    def __init__(self, target: Target, outside: Outside | None = None) -> None:
        super().__init__()
        self._target, self._outside = target, outside
        self._replacements = _replacements()
        self._inside: list[FunctionType] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces the function, or looks into it."""
        kwargs = kwargs or {}
        if self._outside is None:
            return self._run(func, args, kwargs)
        args, kwargs = self._outside.replaced(func, args, kwargs)
        result = self._run(func, args, kwargs)
        if type(result) is Tensor:
            self._outside.came_out(result, args)
        elif type(result) is tuple:
            for value in result:
                if type(value) is Tensor:
                    self._outside.came_out(value, args)
        return result

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
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
