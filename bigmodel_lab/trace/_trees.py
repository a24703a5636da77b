"""The tensors of a batch, whatever it is: dicts, lists, named tuples, dataclasses, objects of a library with tensors inside."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Any]
Special = Callable[[Any], Any]

_DEEPEST = 6
"""Objects inside objects are followed so far: a batch has its tensors near the top, and not behind a data set."""
_CLOSED = (
    *(str, bytes, bytearray, int, float, complex, type(None), type, range, slice),
    *(torch.dtype, torch.device, torch.Size, torch.Generator, nn.Module),
    *(FunctionType, MethodType, ModuleType),
)
"""What has no tensors of a batch inside; a module's belong to the module."""


def tensors_of(tree: Any) -> list[Tensor]:
    """Every tensor of a batch, in its order; one that is there twice comes twice, as it is copied twice.

    Args:
        tree: Of any kind.

    >>> from types import SimpleNamespace
    >>> [len(t) for t in tensors_of({"graph": SimpleNamespace(x=torch.ones(3), name="a"), "y": [torch.ones(2)]})]
    [3, 2]
    """
    return list(_tensors(tree, 0, ()))


def mapped(tree: Any, change: Change, special: Special | None = None) -> Any:
    """The same batch with every tensor changed; what holds no tensor is the very same object, everything else a copy.

    Args:
        tree: Of any kind.
        change: Maps a tensor to what stands in its place.
        special: Asked first about each object that is no container; what it gives stands in the object's place, None
            asks to look into it. None asks nobody.

    >>> batch = mapped({"x": torch.ones(2), "name": "a"}, lambda t: t + 1)
    >>> batch["x"].tolist(), batch["name"]
    ([2.0, 2.0], 'a')
    """
    return _mapped(tree, change, special, ())


def _mapped(tree: Any, change: Change, special: Special | None, above: tuple[Any, ...]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    depth = sum(not isinstance(one, Mapping | list | tuple) for one in above)
    if any(one is tree for one in above) or not list(_tensors(tree, depth, ())):
        return tree
    above = (*above, tree)
    if isinstance(tree, Mapping):
        return _mapping(tree, {name: _mapped(part, change, special, above) for name, part in tree.items()})
    found = None if special is None or type(tree) in {list, tuple} else special(tree)
    if found is not None:
        return found
    if isinstance(tree, tuple | list):
        return _sequence(tree, [_mapped(part, change, special, above) for part in tree])
    made = _shallow(tree)
    for name, part in list(_attributes(made)):
        changed = _mapped(part, change, special, above)
        if changed is not part:
            object.__setattr__(made, name, changed)  # also of a frozen dataclass
    return made


def _tensors(tree: Any, depth: int, above: tuple[int, ...]) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
        return
    if isinstance(tree, _CLOSED) or id(tree) in above:
        return
    above = (*above, id(tree))
    if isinstance(tree, Mapping):
        parts, deeper = list(tree.values()), depth
    elif isinstance(tree, list | tuple):
        parts, deeper = list(tree), depth
    elif depth >= _DEEPEST:
        return
    else:
        parts, deeper = [part for _, part in _attributes(tree)], depth + 1
    for part in parts:
        yield from _tensors(part, deeper, above)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """What an object keeps, in its dictionary and in its slots."""
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"} and hasattr(thing, name):
                yield name, getattr(thing, name)


def _mapping(tree: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    if type(tree) is dict:
        return parts
    if not isinstance(tree, MutableMapping):
        return MappingProxyType(parts)
    made = _shallow(tree)
    for name, part in parts.items():
        if tree[name] is not part:
            made[name] = part
    return made


def _sequence(tree: Any, parts: list[Any]) -> Any:
    if hasattr(tree, "_fields"):
        return type(tree)(*parts)
    return type(tree)(parts)


def _shallow(thing: Any) -> Any:
    """A copy that shares its parts; where a class forbids copies, its attributes in a new object."""
    try:
        return copy.copy(thing)
    except (TypeError, AttributeError, NotImplementedError):
        made = cast("Any", object.__new__(type(thing)))
        for name, part in _attributes(thing):
            object.__setattr__(made, name, part)
        return made
