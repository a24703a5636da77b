"""Tensors with data that a traced program meets: what its closures, globals and objects hold beside the model and the batch.

Which of them are on the card nobody says where everything is a CPU tensor. What an operation combines with tensors of the card
must be there already; what the program moves itself was on the host before; what it only looks at has no need to be decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from bigmodel_lab.trace._fake import stand_in
from bigmodel_lab.trace._sparse import is_jagged

if TYPE_CHECKING:
    from bigmodel_lab.trace._operations import RecordingMode
    from bigmodel_lab.trace._recorder import Recorder

_WITH_VALUES = 2**20
"""Bytes up to which a tensor of the host is computed with for real; nobody waits for more, and its values seldom matter."""
_MADE_HERE = "_bigmodel_lab_made_here"
_READS_FROM_HOST = frozenset({Tensor.to, Tensor.cuda, Tensor.copy_, torch.as_tensor, torch.tensor, Tensor.new_tensor})
"""They take a tensor of the host and give or fill one of the card."""
_LOOKS = frozenset(
    {
        *(
            Tensor.size,
            Tensor.dim,
            Tensor.numel,
            Tensor.stride,
            Tensor.__len__,
            Tensor.element_size,
            Tensor.is_contiguous,
        ),
        *(Tensor.__getitem__, Tensor.view, Tensor.narrow, Tensor.select, Tensor.split, Tensor.chunk, Tensor.unbind),
        *(Tensor.t, Tensor.transpose, Tensor.permute, Tensor.unsqueeze, Tensor.squeeze, Tensor.expand, Tensor.detach),
        *(Tensor.is_floating_point, Tensor.__iter__, Tensor.index_select, Tensor.__repr__, Tensor.__hash__, Tensor.cpu),
        *(torch.index_select, torch.narrow, torch.split, torch.chunk, torch.unbind, torch.is_floating_point),
    }
)
"""They compute nothing: what a program asks a data set on the host before it moves a part of it."""
_GIVE_THE_MEMORY = frozenset({Tensor.numpy, Tensor.__array__, Tensor.data_ptr, Tensor.untyped_storage})
_NEITHER = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.Size, slice})


class Outside:
    """Stand-ins and private copies of tensors that were there before the trace; the tensors themselves are never changed."""

    def __init__(self, mode: RecordingMode, recorder: Recorder) -> None:
        self._mode, self._recorder = mode, recorder
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}
        self._storages: dict[int | None, tuple[Tensor, Tensor]] = {}
        self._private: dict[int, tuple[Tensor, Tensor]] = {}

    def shares_memory(self, original: Tensor, copied: Tensor) -> None:
        """A tensor of the model has this stand-in; whatever looks at its memory looks at the stand-in's."""
        self._stand_ins[id(original)] = (original, copied)
        if _has_storage(original):
            self._storages.setdefault(_storage(original), (original, copied))

    def loose(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor that is neither a parameter nor a buffer of a copied module; itself where that is not known yet."""
        return self.on_the_card(tensor) if _is_surely_on_a_card(tensor) else tensor

    def of_the_host(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor of the batch that stays in main memory: its values in memory of the trace's own."""
        own = self._own(tensor, changes=True)
        vars(own)[_MADE_HERE] = True
        return own

    def on_the_card(self, tensor: Tensor) -> Tensor:
        """The stand-in, the same each time; it has been on the card since the model was loaded."""
        known = self._stand_ins.get(id(tensor))
        if known is None:
            self._mode.guard(tensor)
            with torch.inference_mode(mode=False), torch.no_grad(), self._mode.unrecorded():
                made = self._looking_at(tensor)
            made.requires_grad_(tensor.requires_grad and tensor.is_leaf)
            known = self._stand_ins[id(tensor)] = (tensor, made)
        return known[1]

    def _looking_at(self, tensor: Tensor) -> Tensor:
        if not _has_storage(tensor):
            return self._loaded(stand_in(tensor, self.of_the_host), tensor)
        key = _storage(tensor)
        known = self._storages.get(key)
        if known is None:
            elements = tensor.untyped_storage().nbytes() // tensor.element_size()
            whole = stand_in(tensor) if tensor.numel() == elements else torch.empty(elements, dtype=tensor.dtype)
            known = self._storages[key] = (tensor, self._loaded(whole, tensor))
        base = known[1].detach()
        if base.dtype != tensor.dtype or base.numel() < tensor.numel():
            return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype)
        return base.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())

    def _loaded(self, made: Tensor, original: Tensor) -> Tensor:
        self._recorder.was_loaded(made, "parameter" if isinstance(original, nn.Parameter) else "input")
        return made

    def replaced(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a function of torch with stand-ins in the place of tensors from outside that are on the card."""
        real, fake = _kinds(args)
        if kwargs:
            more_real, more_fake = _kinds(kwargs.values())
            real, fake = real or more_real, fake or more_fake
        if not real:
            return args, kwargs

        def one(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value if _is_fake(value) else self._one(function, value, fake)
            if isinstance(value, list | tuple) and type(value) is not torch.Size:
                return type(value)(map(one, value)) if type(value) in {list, tuple} else value
            return value

        return tuple(map(one, args)), {name: one(value) for name, value in kwargs.items()}

    def came_out(self, result: Tensor, args: tuple[Any, ...]) -> None:
        """A tensor with data that the program computed is its own, unless it looks at the memory of one from outside."""
        key = _storage(result)
        if key is None or not any(
            type(value) is Tensor and _storage(value) == key and _MADE_HERE not in vars(value) for value in args
        ):
            vars(result)[_MADE_HERE] = True

    def _one(self, function: Any, tensor: Tensor, fake: bool) -> Tensor:
        tensor = self._private.get(id(tensor), (tensor, tensor))[1]
        if id(tensor) in self._stand_ins or _is_surely_on_a_card(tensor) or _storage(tensor) in self._storages:
            return self.on_the_card(tensor)
        if _MADE_HERE in vars(tensor) or function in _READS_FROM_HOST:
            return tensor
        if fake and tensor.dim():
            return self.on_the_card(tensor)
        is_look = function in _LOOKS or getattr(function, "__name__", "") == "__get__"
        is_large = not _has_storage(tensor) or tensor.nbytes > _WITH_VALUES
        if tensor.dim() and (tensor.is_meta or is_large) and not is_look:
            return self.on_the_card(tensor)
        return self._own(tensor, changes=_changes(function))

    def _own(self, tensor: Tensor, *, changes: bool) -> Tensor:
        """A copy with the same values where the program changes a tensor of the user's; from then on it sees the copy."""
        known = self._private.get(id(tensor))
        if known is None:
            if not changes:
                return tensor
            with unset_fake_temporarily(), torch.no_grad():
                own = tensor.detach().clone()
            known = self._private[id(tensor)] = (tensor, own)
            self._private[id(own)] = (own, own)
        return known[1]


def _kinds(values: Iterable[Any]) -> tuple[bool, bool]:
    """Whether there are tensors with data, and whether there are stand-ins."""
    real = fake = False
    for value in values:
        kind = type(value)
        if kind is FakeTensor:
            fake = True
        elif kind in _NEITHER:
            continue
        elif isinstance(value, Tensor):
            is_fake = _is_fake(value)
            real, fake = real or not is_fake, fake or is_fake
        elif kind in {list, tuple}:
            more_real, more_fake = _kinds(value)
            real, fake = real or more_real, fake or more_fake
    return real, fake


def _is_surely_on_a_card(tensor: Tensor) -> bool:
    """What is learned or was computed of it, and what a card holds already."""
    return isinstance(tensor, nn.Parameter) or tensor.requires_grad or tensor.device.type not in {"cpu", "meta"}


def _changes(function: Callable[..., Any]) -> bool:
    name = getattr(function, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return (
        in_place
        or name in {"__set__", "__setitem__", "__delitem__"}
        or name.startswith("__i")
        or function in _GIVE_THE_MEMORY
    )


def _is_fake(tensor: Tensor) -> bool:
    """A stand-in; a nested one is a tensor around it, and so is one inside ``torch.func``."""
    if is_jagged(tensor):
        return isinstance(tensor._values, FakeTensor)  # noqa: SLF001
    return isinstance(tensor, FakeTensor) or _is_wrapped(tensor)


def _has_storage(tensor: Tensor) -> bool:
    """Of its own; sparse and nested tensors are made of others."""
    return tensor.layout is torch.strided and not _is_wrapped(tensor)


def _is_wrapped(tensor: Tensor) -> bool:
    """Inside ``torch.func``, by ``vmap`` or ``grad``: its memory is that of a tensor within, which comes by itself."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))  # noqa: SLF001


def _storage(tensor: Tensor) -> int | None:
    """The only name that a storage has; None where there is none."""
    return int(tensor.untyped_storage()._cdata) if _has_storage(tensor) else None  # noqa: SLF001
