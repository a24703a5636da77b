"""Which values of a program hold no tensor and no state of their own, so that a copy of the program may share them."""

from __future__ import annotations

import dis
import enum
import functools
import re
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ATOMS = frozenset(
    {
        *(type(None), type(...), type(NotImplemented), int, float, bool, complex, str, bytes, range, slice, type),
        *(types.CodeType, types.ModuleType, types.WrapperDescriptorType, types.MethodDescriptorType, property),
        *(types.GetSetDescriptorType, types.MethodWrapperType, staticmethod, classmethod, re.Pattern),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, torch.finfo, torch.iinfo),
        *(torch._ops.OpOverload, torch._ops.OpOverloadPacket),  # noqa: SLF001 (the types of torch.ops.…)
    }
)
"""Types of values that never change and name nothing."""
_WEAK = frozenset({weakref.ref, weakref.WeakMethod, weakref.ProxyType, weakref.CallableProxyType})
_VALUES = (int, float, complex, str, bytes, type(None))
_MOST_LOOKED_AT = 2000
"""Values that are looked at below an object of a library, before it is taken for one that holds no tensor."""
_PACKAGES = ("site-packages", "dist-packages")
_OWN = str(Path(__file__).parents[1])
_STDLIB = sysconfig.get_paths()["stdlib"]


@functools.cache
def is_library(module: str | None) -> bool:
    """A module is none of the user's own: of Python, of an installed package, or of this one.

    Args:
        module: Its name; None, as for a function made by ``exec``, is the user's own.

    >>> is_library("torch.nn.modules.linear"), is_library("json"), is_library("__main__")
    (True, True, False)
    """
    if module is None or module == "__main__":
        return False
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top in {"torch", __name__.split(".")[0]}:
        return True
    return is_library_file(getattr(sys.modules.get(module), "__file__", None) or "")


@functools.cache
def is_library_file(name: str) -> bool:
    """A source file of an installed package or of Python itself.

    >>> is_library_file(torch.__file__), is_library_file("train.py")
    (True, False)
    """
    return any(part in _PACKAGES for part in Path(name).parts) or name.startswith((_STDLIB, _OWN, "<frozen"))


@functools.cache
def loaded_globals(code: types.CodeType) -> tuple[str, ...]:
    """Global names that a function reads, those of the functions inside it included.

    >>> loaded_globals(compile("lambda: torch.ones(n)", "", "eval"))
    ('torch', 'n')
    """
    own = [i.argval for i in dis.get_instructions(code) if i.opname in {"LOAD_GLOBAL", "LOAD_NAME"}]
    inner = [loaded_globals(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(dict.fromkeys([*own, *(name for names in inner for name in names)]))


class Inertness:
    """Asks values whether a copy of a program may share them. Answers are kept, so use one for one program as it is now."""

    def __init__(self) -> None:
        self._functions: dict[int, bool] = {}
        self._objects: dict[int, tuple[Any, bool]] = {}

    def of_function(self, function: types.FunctionType) -> bool:
        """It reaches nothing that has to be copied, neither by its closure nor by what it names."""
        known = self._functions.get(id(function))
        if known is None:
            self._functions[id(function)] = True  # where it comes back to itself
            known = self._functions[id(function)] = self._holds_nothing(function)
        return known

    def _holds_nothing(self, function: types.FunctionType) -> bool:
        waiting, seen = [function], {id(function)}
        while waiting:
            here = waiting.pop()
            if not is_library(here.__globals__.get("__name__")) and _counts(here):
                return False
            for value in reached(here):
                if not isinstance(value, types.FunctionType):
                    if not self.of(value):
                        return False
                elif id(value) not in seen:
                    seen.add(id(value))
                    waiting.append(value)
        return True

    def of(self, value: Any) -> bool:
        """Neither a tensor, a module, a container that can be written to, nor an object that reaches one."""
        if type(value) in ATOMS:
            return True
        if type(value) in _WEAK:  # before it is asked what it is, as a proxy answers for another, which may be gone
            return False
        if isinstance(value, type | enum.Enum):
            return True
        if isinstance(value, types.FunctionType):
            return self.of_function(value)
        if isinstance(value, types.BuiltinFunctionType):
            return value.__self__ is None or self.of(value.__self__)
        if isinstance(value, tuple | frozenset):
            return all(self.of(item) for item in value)
        if isinstance(value, Tensor | nn.Module | list | dict | set | types.GeneratorType | torch.Generator):
            return False
        return self.of_object(value)

    def of_object(self, value: Any) -> bool:
        """Of a class: a library's that holds no tensor or module. An object of the user's own class has a state."""
        if not is_library(type(value).__module__):
            return False
        known = self._objects.get(id(value))
        if known is None:
            known = self._objects[id(value)] = (value, not self._reaches(value))
        return known[1]

    def _reaches(self, value: Any) -> bool:
        """A tensor, a module or a function of the user's own that reaches one lies below; looks at a bounded number of values."""
        waiting, seen = [value], {id(value)}
        while waiting and len(seen) < _MOST_LOOKED_AT:
            for inner in below(waiting.pop()):
                if type(inner) in _WEAK or isinstance(inner, Tensor | nn.Module):
                    return True
                if isinstance(inner, types.FunctionType) and not self.of_function(inner):
                    return True
                if type(inner) not in ATOMS and id(inner) not in seen:
                    seen.add(id(inner))
                    waiting.append(inner)
        return False


def _counts(function: types.FunctionType) -> bool:
    """It has numbers or words in its closure, which it or another function may count up, or sets a global name."""
    held = (value for cell in function.__closure__ or () for value in contents(cell))
    return any(isinstance(value, _VALUES) for value in held) or _sets_globals(function.__code__)


@functools.cache
def _sets_globals(code: types.CodeType) -> bool:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return any(i.opname == "STORE_GLOBAL" for i in dis.get_instructions(code)) or any(map(_sets_globals, inner))


def reached(function: types.FunctionType) -> Iterator[Any]:
    """What a function holds: values of its closure, defaults, attributes; and, of the user's own, what it names."""
    for cell in function.__closure__ or ():
        yield from contents(cell)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()
    if not is_library(function.__globals__.get("__name__")):
        names = function.__globals__
        yield from (names[name] for name in loaded_globals(function.__code__) if name in names)


def contents(cell: types.CellType) -> Iterator[Any]:
    """The value of a cell; nothing where it has none yet."""
    try:
        yield cell.cell_contents
    except ValueError:  # how an empty cell answers
        return


def below(value: Any) -> Iterable[Any]:
    """Values that an object holds directly."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, type | types.ModuleType | types.FunctionType):
        return []
    return getattr(value, "__dict__", {}).values()
