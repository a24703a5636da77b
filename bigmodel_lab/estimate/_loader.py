"""A bounded look into a loader: its largest batch among the first ones, and what that leaves unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import Doubt
from bigmodel_lab.trace import untouched
from bigmodel_lab.trace._attempts import Caught, error_line
from bigmodel_lab.trace._trees import tensors_of

_MOST_BATCHES = 10_000
_MOST_SECONDS = 1.0
"""No look takes longer than one batch after this; an endless or a slow loader would never end."""


class Bytes(Protocol):
    """Maps a batch to its bytes."""

    def __call__(self, batch: Any) -> int:
        """Of all its tensors."""


def is_loader(batch: Any) -> bool:
    """It gives batches in turn, and is none itself. A list of trees is a loader, too; a list of tensors is a batch.

    >>> is_loader([(torch.ones(2, 3), torch.ones(2))]), is_loader((torch.ones(2, 3), torch.ones(2)))
    (True, False)
    """
    if isinstance(batch, Tensor | Mapping | str | tuple):
        return False
    if isinstance(batch, list):
        return bool(batch) and not any(isinstance(item, Tensor) for item in batch) and bool(tensors_of(batch))
    return isinstance(batch, Iterable) and not _is_batch_object(batch)


def _is_batch_object(batch: Any) -> bool:
    """An object of a library that is one batch, although it can be iterated over: by its parts, as a graph is."""
    movable = callable(getattr(batch, "to", None)) and not hasattr(batch, "dataset")
    return not isinstance(batch, Iterator) and (movable or is_dataclass(batch)) and bool(tensors_of(batch))


def largest_of(loader: Iterable[Any], bytes_of: Bytes, note: Callable[[str], object]) -> Any:
    """The batch of most bytes among those that a bounded look sees; the random numbers drawn for it are put back.

    Of what gives its batches only once, such as a generator, no more than the first is taken.

    Args:
        loader: Gives batches in turn.
        bytes_of: How large one is.
        note: Gets what was not looked at, in a sentence.

    Raises:
        ConfigError: It gives no batch, or raises an error before it does.
    """
    seen = _Seen()
    with untouched(*_generators(loader)), Caught() as caught:
        batches = iter(loader)
        if batches is loader:
            return _first_of(batches, note)
        seen.look(batches, bytes_of, _length(loader))
    if caught.error is not None:
        note(Doubt(_broken(loader, caught.error, seen)))
    elif not seen.sizes:
        raise _empty(loader)
    elif not seen.ended:
        note(Doubt(_unread(len(seen.sizes), min(seen.sizes), max(seen.sizes))))
    return seen.largest


class _Seen:
    """What a look into a loader has found so far."""

    def __init__(self) -> None:
        self.largest: Any = None
        self.sizes: list[int] = []
        self.ended = False

    def look(self, batches: Iterator[Any], bytes_of: Bytes, length: int | None) -> None:
        """Until they end, or it was long enough."""
        began = time.monotonic()
        for batch in islice(batches, _MOST_BATCHES):
            size = bytes_of(batch)
            if size > max(self.sizes, default=-1):
                self.largest = batch
            self.sizes.append(size)
            if time.monotonic() - began > _MOST_SECONDS:
                self.ended = len(self.sizes) == length
                return
        self.ended = len(self.sizes) < _MOST_BATCHES or len(self.sizes) == length


def _first_of(batches: Iterator[Any], note: Callable[[str], object]) -> Any:
    for batch in batches:
        once = text(
            "estimate.one_shot_loader",
            "{kind} gives its batches only once: the first was taken from it and counts, your loop will not see it again, and "
            "the others may be larger. Give the DataLoader, a list of batches, or the largest batch.",
            kind=type(batches).__name__,
        )
        note(Doubt(once))
        return batch
    raise _empty(batches)


def _empty(loader: object) -> ConfigError:
    return ConfigError(
        text(
            "error.estimate_empty_loader",
            "The loader ({kind}) gives 0 batches. Give one with at least one batch, or the batch itself. A generator that was "
            "read before has nothing left.",
            kind=type(loader).__name__,
        )
    )


def _broken(loader: object, error: BaseException, seen: _Seen) -> str:
    """What to say of a loader that raised an error after some batches.

    Raises:
        ConfigError: There was none before it.
    """
    said = {
        "loader": type(loader).__name__,
        "kind": type(error).__name__,
        "error": str(error) or "–",
        "line": error_line(error),
    }
    if seen.sizes:
        return text(
            "estimate.loader_broke_off",
            "The loader ({loader}) raised {kind}: {error} ({line}) after {count} batches. Those were looked at; your training would stop "
            "there, too.",
            count=len(seen.sizes),
            **said,
        )
    raise ConfigError(
        text(
            "error.estimate_loader",
            "The loader ({loader}) raised {kind}: {error} ({line}) before it gave a batch, as it would in your training. Mend it "
            "there, or give the batch itself: a tensor, or a dict, list or tuple of tensors.",
            **said,
        )
    ) from error


def _unread(looked_at: int, least: int, most: int) -> str:
    alike = text("estimate.loader_alike", "all of the same size") if least == most else ""
    differ = text("estimate.loader_differ", "of {least:,} to {most:,} bytes", least=least, most=most)
    return text(
        "estimate.loader_unread",
        "Only the first {count} batches of the loader were looked at ({sizes}); a later one may be larger. "
        "Give your largest batch to be sure.",
        count=looked_at,
        sizes=alike or differ,
    )


def _length(loader: object) -> int | None:
    try:
        return len(loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError, AttributeError):  # a stream
        return None


def _generators(loader: object) -> list[torch.Generator]:
    """Of a loader that shuffles by numbers of its own; looking at its batches would move them on."""
    inner = getattr(loader, "batch_sampler", None)
    holders = (loader, getattr(loader, "sampler", None), inner, getattr(inner, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())
