"""A copy of what a program reaches, in which tensors are replaced: modules, and whatever names them.

``copy.deepcopy`` shares functions, so that a method that was bound on the instance, a hook or a closure of a copy would still
call the original; and it refuses whole models for a lock. Here functions are made again around copies of what they name.
"""

from __future__ import annotations

import collections
import copyreg
import io
import pickle
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bigmodel_lab.trace._inert import ATOMS, Inertness, contents, is_library, loaded_globals
from bigmodel_lab.trace._spent import spent

_ABSENT = object()
_LOCKS = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}
_CANNOT_BE_COPIED = (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError)
"""How objects refuse to be taken apart."""
_COPIES = "_bigmodel_lab_copies"
"""Attribute of a copied model that tells which of its parts stands for which of the original."""
_COMPILED = "_bigmodel_lab_compiled"
_ORIGINAL = "_orig_mod"
"""Name under which a compiled model keeps what it was made of, the only sign of one."""

Copies = Mapping[int, Any]
"""Copy by the identity of the original; holds the originals, too."""


def copies_in(model: nn.Module) -> Copies:
    """What stands for what in a copy, or in a model with copies inside; empty for a model that is no copy."""
    found: dict[int, Any] = {}
    for module in model.modules():
        found.update(vars(module).get(_COPIES, {}))
    return found


def stands_for(copied: nn.Module, *originals: nn.Module) -> None:
    """Remembers that a module that was made anew, and not by :func:`copy_of_model`, stands for these of the original.

    Args:
        copied: The new one.
        originals: Shells of the user's, one inside the other; one that ``torch.compile`` made is said.
    """
    kept = list(originals)  # so that their identities stay their own
    vars(copied)[_COPIES] = {**dict.fromkeys(map(id, kept), copied), id(kept): kept}
    vars(copied)[_COMPILED] = any(_ORIGINAL in original._modules for original in kept)  # noqa: SLF001


def program_beside(program: Any, model: nn.Module, substitute: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a program that names a copied model wherever it names the original.

    Args:
        program: Any tree of functions, modules and objects.
        model: Made by :func:`copy_of_model`; is not copied again.
        substitute: Gives what stands for every other tensor.
    """
    copier = Copier(substitute, substitute)
    copier.copies.update(copies_in(model))
    return copier.copy(program)


def copy_of_model(model: nn.Module, substitute: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy in which the parameters and buffers are what ``substitute`` gives for them; other tensors are shared.

    It remembers which part stands for which of the original (:func:`copies_in`).
    """
    copier = Copier(substitute)
    made: nn.Module = copier.copy(model)
    vars(made)[_COPIES], vars(made)[_COMPILED] = copier.copies, copier.has_compiled
    return made


def uncompiled(model: nn.Module) -> nn.Module:
    """What ``torch.compile`` was given; a model that was not compiled is that itself."""
    return model._modules.get(_ORIGINAL) or model  # noqa: SLF001


def was_compiled(model: nn.Module) -> bool:
    """A part of it is a copy of what ``torch.compile`` made."""
    return any(vars(module).get(_COMPILED, False) for module in model.modules())


def _is_old_result(owner: Any, value: Any) -> bool:
    """What a module computed on the host and keeps as an attribute: ``weight`` of a pruned layer or an old ``weight_norm``, activations.

    ``model.to("cuda")`` moves parameters and buffers alone, and the next forward pass computes it anew; whether it is used before
    that is decided where it is used.
    """
    is_kept = isinstance(owner, nn.Module) and isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
    return is_kept and value.device.type == "cpu" and not value.is_leaf


class Copier:
    """Copies values that belong together: what is one in the original is one in the copy."""

    def __init__(
        self,
        substitute: Callable[[Tensor], Tensor],
        loose: Callable[[Tensor], Tensor] | None = None,
        before: Copies | None = None,
    ) -> None:
        """Args: what stands for a parameter or buffer; for any other tensor, None shares it; and what is known of an earlier copy."""
        self.modules: list[tuple[str, nn.Module]] = []
        """Copied modules by the last name on the way there, outer ones before those inside."""
        self.copies: dict[int, Any] = {}
        self.has_compiled = False
        """Something was compiled, and its copy is not."""
        self._substitute, self._loose, self._before = substitute, loose, before or {}
        self._originals: list[Any] = []
        self.copies[id(self._originals)] = self._originals  # identities stay those of these objects
        self._names: dict[int, dict[str, Any]] = {}
        self._inert = Inertness()
        self._hint, self._depth = "", 0

    def copy(self, value: Any) -> Any:
        """The copy of a value; the value itself where there is nothing in it to copy."""
        kind = type(value)
        if kind in ATOMS or isinstance(value, type):
            return value
        known = self.copies.get(id(value), _ABSENT)
        if known is not _ABSENT:
            return known
        earlier = self._before.get(id(value), value)
        made = self._made(value, kind) if earlier is value else self.copy(earlier)
        return self.copies[id(value)] if id(value) in self.copies else self._know(value, made)

    def _know(self, value: Any, made: Any) -> Any:
        self.copies[id(value)] = made
        self._originals.append(value)
        return made

    def _made(self, value: Any, kind: type) -> Any:
        make = _BY_TYPE.get(kind)  # first, as a weak proxy of a module says that it is a module
        if make is not None:
            return make(self, value)
        if isinstance(value, Tensor):
            return self._tensor(value)
        return self._module(value) if isinstance(value, nn.Module) else self._object(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, nn.Parameter):
            return self._substitute(tensor) if self._loose is None else self._loose(tensor)
        return tensor if self._loose is None else self._loose(tensor)

    # ------------------------------------------------------------ modules

    def _module(self, module: nn.Module) -> nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            return module
        if _ORIGINAL in module._modules:  # noqa: SLF001
            self.has_compiled = True
            return cast("nn.Module", self.copy(module._modules[_ORIGINAL]))  # noqa: SLF001
        self._registered(module, deep=not self._depth)
        name = self._hint or type(module).__name__
        made = self._by_its_own_way(module)
        if made is not None:
            self.modules.append((name, made))
            return made
        made = cast("nn.Module", self._know(module, object.__new__(type(module))))
        self.modules.append((name, made))
        self._depth += 1
        self._fill(made, module)
        self._depth -= 1
        return made

    def _registered(self, module: nn.Module, *, deep: bool) -> None:
        """Its parameters and buffers first, so that whoever else names one of them finds its copy."""
        own = [*module.parameters(recurse=deep), *module.buffers(recurse=deep)]
        for tensor in own:
            if id(tensor) not in self.copies:
                self._know(tensor, self._substitute(self._before.get(id(tensor), tensor)))

    def _by_its_own_way(self, module: nn.Module) -> nn.Module | None:
        """A class that says how it is copied, as a graph of torch.fx does; a parametrization's word on it is the usual way."""
        way = getattr(type(module), "__deepcopy__", None)
        if way is None or "parametrize" in getattr(way, "__module__", ""):
            return None
        try:
            return cast("nn.Module", way(module, self.copies))
        except _CANNOT_BE_COPIED:
            return None

    def _fill(self, made: Any, original: Any) -> None:
        own = vars(made)
        for name, value in vars(original).items():
            if name in {_COPIES, _COMPILED}:
                continue
            if name == "_compiled_call_impl" and value is not None:
                self.has_compiled, value = True, None  # noqa: PLW2901 (a compiled call would compile the copy)
            self._hint = name if type(value) not in {dict, collections.OrderedDict} else self._hint
            own[name] = value if _is_old_result(original, value) else self.copy(value)
        for name in copyreg._slotnames(type(original)):  # type: ignore[attr-defined]  # noqa: SLF001
            if hasattr(original, name):
                object.__setattr__(made, name, self.copy(getattr(original, name)))
        self._rebind(made)

    def _rebind(self, made: Any) -> None:
        """Methods of the user's own class that name tensors or modules become methods of the copy that name the copies."""
        for function in self._own_methods(type(made)):
            vars(made).setdefault(function.__name__, types.MethodType(self.copy(function), made))

    def _own_methods(self, kind: type) -> Iterator[types.FunctionType]:
        for base in kind.__mro__:
            if not is_library(base.__module__):
                for name, method in vars(base).items():
                    plain = isinstance(method, types.FunctionType) and not name.startswith("__")
                    if plain and method.__name__ == name and not self._inert.of_function(method):
                        yield method

    # ------------------------------------------------------------ functions

    def _function(self, function: types.FunctionType) -> Any:
        if (original := getattr(function, "_torchdynamo_orig_callable", None)) is not None:
            self.has_compiled = True
            return self.copy(original)
        if self._inert.of_function(function):
            return function
        cells = tuple(self._empty(cell) for cell in function.__closure__ or ())
        names = self._names_of(function)
        made = types.FunctionType(function.__code__, names, function.__name__, None, cells or None)
        self._know(function, made)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._hint = name
            self._filled(cell)
        made.__defaults__ = self.copy(function.__defaults__)
        made.__kwdefaults__ = self.copy(function.__kwdefaults__)
        made.__qualname__, made.__module__, made.__doc__ = function.__qualname__, function.__module__, function.__doc__
        made.__annotations__ = function.__annotations__
        vars(made).update({name: self.copy(value) for name, value in vars(function).items()})
        if names is not function.__globals__:
            self._take_over(names, function)
        return made

    def _names_of(self, function: types.FunctionType) -> dict[str, Any]:
        """Global names of a copied function: a library's own, or a copy of the user's, one for each module of his."""
        names = function.__globals__
        if is_library(names.get("__name__")):
            return names
        if id(names) not in self._names:
            self._names[id(names)] = dict(names)
            self._originals.append(names)
        return self._names[id(names)]

    def _take_over(self, names: dict[str, Any], function: types.FunctionType) -> None:
        for name in loaded_globals(function.__code__):
            if name in function.__globals__:
                self._hint = name
                value = function.__globals__[name]
                if not self._inert.of(value):
                    names[name] = self.copy(value)

    def _empty(self, cell: types.CellType) -> types.CellType:
        known = self.copies.get(id(cell))
        return cast("types.CellType", known if known is not None else self._know(cell, types.CellType()))

    def _filled(self, cell: types.CellType) -> types.CellType:
        made = self._empty(cell)
        if not any(True for _ in contents(made)):
            for value in contents(cell):
                made.cell_contents = self.copy(value)
        return made

    def _method(self, method: types.MethodType) -> Any:
        owner, function = self.copy(method.__self__), self.copy(method.__func__)
        if owner is method.__self__ and function is method.__func__:
            return method
        return types.MethodType(function, owner)

    def _builtin(self, method: types.BuiltinFunctionType) -> Any:
        owner = method.__self__
        if owner is None or isinstance(owner, types.ModuleType | type):
            return method
        copied = self.copy(owner)
        return method if copied is owner else getattr(copied, method.__name__)

    # ------------------------------------------------------------ containers and objects

    def _list(self, values: list[Any]) -> list[Any]:
        made: list[Any] = self._know(values, [])
        made.extend(values if ATOMS.issuperset(map(type, values)) else map(self.copy, values))
        return made

    def _dict(self, values: dict[Any, Any]) -> dict[Any, Any]:
        made: dict[Any, Any] = self._know(values, type(values)())
        for key, value in values.items():
            if type(key) is str and type(value) not in ATOMS:
                self._hint = key
            made[self.copy(key)] = self.copy(value)
        return made

    def _set(self, values: set[Any]) -> set[Any]:
        made: set[Any] = self._know(values, set())
        made.update(map(self.copy, values))
        return made

    def _tuple(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        made = tuple(map(self.copy, values))
        return values if all(a is b for a, b in zip(made, values, strict=True)) else made

    def _weak(self, reference: weakref.ref[Any]) -> Any:
        """Also a weak name of a part is one of the copied part; a dead one stays dead."""
        original = reference()
        return reference if original is None else weakref.ref(self.copy(original))

    def _proxy(self, proxy: Any) -> Any:
        try:
            original = proxy.__init__.__self__
        except (ReferenceError, AttributeError):
            return proxy
        return weakref.proxy(self.copy(original))

    def _generator(self, generator: torch.Generator) -> torch.Generator:
        made = torch.Generator(generator.device)
        made.set_state(generator.get_state())
        return made

    def _object(self, value: Any) -> Any:
        if not self._depth and self._inert.of_object(value):
            return value
        try:
            return self._rebuilt(value)
        except _CANNOT_BE_COPIED:  # a file, a thread, an object of C++: the program uses the one that there is
            is_stream = hasattr(type(value), "__next__") and not isinstance(value, io.IOBase)
            return spent(value) if is_stream else value

    def _rebuilt(self, value: Any) -> Any:
        """As ``copy.deepcopy`` puts an object together, by what it says of itself."""
        kind = type(value)
        if hasattr(kind, "__deepcopy__"):
            return value.__deepcopy__(self.copies)
        reduce = copyreg.dispatch_table.get(kind)
        parts = reduce(value) if reduce else value.__reduce_ex__(4)
        if isinstance(parts, str):
            return value
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        made = self._know(value, make(*map(self.copy, arguments)))
        if state is not None:
            self._set_state(made, self.copy(state))
        for item in items or ():
            made.append(self.copy(item))
        for key, item in pairs or ():
            made[self.copy(key)] = self.copy(item)
        if not is_library(kind.__module__) and hasattr(made, "__dict__"):
            self._rebind(made)
        return made

    def _set_state(self, made: Any, state: Any) -> None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
            return
        own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if own is not None:
            vars(made).update(own)
        for name, value in (slots or {}).items():
            setattr(made, name, value)


_BY_TYPE: dict[type, Callable[[Copier, Any], Any]] = {
    types.FunctionType: Copier._function,  # noqa: SLF001
    types.MethodType: Copier._method,  # noqa: SLF001
    types.BuiltinFunctionType: Copier._builtin,  # noqa: SLF001
    types.CellType: Copier._filled,  # noqa: SLF001
    list: Copier._list,  # noqa: SLF001
    dict: Copier._dict,  # noqa: SLF001
    collections.OrderedDict: Copier._dict,  # noqa: SLF001
    set: Copier._set,  # noqa: SLF001
    tuple: Copier._tuple,  # noqa: SLF001
    weakref.ref: Copier._weak,  # noqa: SLF001
    **dict.fromkeys((weakref.ProxyType, weakref.CallableProxyType), Copier._proxy),  # noqa: SLF001
    torch.Generator: Copier._generator,  # noqa: SLF001
    types.GeneratorType: lambda _copier, generator: spent(generator),
    **dict.fromkeys(_LOCKS, lambda _copier, lock: _LOCKS[type(lock)]()),
}
