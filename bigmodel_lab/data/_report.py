"""What is in data, looked at before anything is trained on it: sizes, ranges, balance, duplicates, leaks, gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import combinations
from math import prod

import torch
from torch import Tensor

from bigmodel_lab.data._report_facts import DataFacts, Leak, Places, Range, SplitFacts, Words
from bigmodel_lab.data._report_warnings import warnings_of
from bigmodel_lab.data._tokens import PADDING, UNKNOWN
from bigmodel_lab.data.base import Data, Split

_FIRST = 10  # places that are named
_CHANNELS = (1, 3, 4)  # of images: grey, colour, colour with transparency
_VALUES_AT_ONCE = 2**22  # so that statistics of large data need little memory beside it


def examine(data: Data) -> DataFacts:
    """Look at every sample once.

    Args:
        data: Any data; it is not changed. Values that are NaN or infinite are counted, and left out of the ranges.

    >>> x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    >>> train, test = Split(x, torch.tensor([0, 1, 0])), Split(x[1:2], torch.tensor([1]))
    >>> facts = examine(Data("own", "Example.", train, test.select(torch.arange(0)), test, None, 2))
    >>> facts.train.duplicates.first, facts.leaks[0].pairs, facts.constant.first
    ((2,), ((0, 1),), (1,))
    """
    marks = {name: digests(split.x) for name, split in data.splits.items()}
    facts = DataFacts(
        name=data.name,
        description=data.description,
        task=data.task,
        input_shape=data.input_shape,
        dtype=str(data.train.x.dtype).removeprefix("torch."),
        scale=data.scale if data.train.x.dtype == torch.uint8 else None,
        class_names=_class_names(data),
        vocabulary=len(data.vocabulary),
        sha256=data.sha256,
        splits=tuple(_split_facts(data, name, split, marks[name]) for name, split in data.splits.items()),
        leaks=tuple(
            leak for known, held in combinations(marks, 2) if (leak := _leak(known, held, marks[known], marks[held]))
        ),
        constant=_constant(data),
        notes=data.notes,
    )
    return replace(facts, warnings=warnings_of(facts))


def digests(x: Tensor) -> list[bytes]:
    """A mark of each sample, the same for samples that are equal to the byte.

    Args:
        x: Samples, shape (samples, …), in memory.

    >>> first, second, third = digests(torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    >>> first == third, first == second
    (True, False)
    """
    if len(x) == 0:
        return []
    rows = x.contiguous().reshape(len(x), -1).view(torch.uint8).numpy()
    return [blake2b(row, digest_size=16).digest() for row in rows]


def value_range(values: Tensor) -> Range | None:
    """Where the values lie; None where none is finite.

    Means and deviations of the parts are joined as in Chan, Golub, LeVeque 1979, "Updating formulae and a
    pairwise algorithm for computing sample variances", formulas 1.1 and 1.2.

    >>> value_range(torch.tensor([1.0, 2.0, 3.0, float("nan")]))
    Range(minimum=1.0, maximum=3.0, mean=2.0, deviation=0.816496580927726)
    """
    count, mean, squares, low, high = 0, 0.0, 0.0, math.inf, -math.inf
    for part in torch.split(values, max(1, _VALUES_AT_ONCE // max(1, prod(values.shape[1:])))):
        numbers = part.to(torch.float64).flatten()
        numbers = numbers[numbers.isfinite()]
        if len(numbers) == 0:
            continue
        off = float(numbers.mean()) - mean
        total = count + len(numbers)
        squares += float(numbers.var(correction=0)) * len(numbers) + off**2 * count * len(numbers) / total
        mean += off * len(numbers) / total
        low, high, count = min(low, float(numbers.min())), max(high, float(numbers.max())), total
    return Range(low, high, mean, math.sqrt(squares / count)) if count else None


def _class_names(data: Data) -> tuple[str, ...]:
    if not _has_classes(data):
        return ()
    return data.class_names or tuple(str(number) for number in range(data.classes))


def _has_classes(data: Data) -> bool:
    return data.task in {"classification", "reconstruction"} and data.train.y.ndim == 1


def _split_facts(data: Data, name: str, split: Split, marks: Sequence[bytes]) -> SplitFacts:
    again, against = _repeated(marks, split.y if data.task == "classification" else None)
    texts = bool(data.vocabulary) and split.x.dtype == torch.int64 and split.x.ndim == 2
    classed = _has_classes(data) and len(split) > 0
    return SplitFacts(
        name=name,
        samples=len(split),
        ranges=() if texts else _ranges(split.x),
        targets=value_range(split.y) if data.task == "regression" else None,
        classes=tuple(split.y.bincount(minlength=data.classes).tolist()) if classed else (),
        missing=_places(_unknown_rows(split.x) | _unknown_rows(split.y)),
        duplicates=again,
        contradictions=against,
        words=_words(split.x) if texts and len(split) else None,
    )


def _ranges(x: Tensor) -> tuple[Range, ...]:
    """One range a channel of images, else one of all values."""
    image = x.ndim == 4 and x.shape[1] in _CHANNELS
    parts = [x[:, channel] for channel in range(x.shape[1])] if image else [x]
    return tuple(found for part in parts if (found := value_range(part)))


def _unknown_rows(values: Tensor) -> Tensor:
    """Which samples hold a value that is NaN or infinite, shape (samples,)."""
    if len(values) == 0 or not values.is_floating_point():
        return torch.zeros(len(values), dtype=torch.bool)
    return ~values.reshape(len(values), -1).isfinite().all(1)


def _places(marked: Tensor) -> Places:
    found = torch.nonzero(marked.flatten()).flatten()
    return Places(len(found), tuple(found[:_FIRST].tolist()))


def _repeated(marks: Sequence[bytes], labels: Tensor | None) -> tuple[Places, Places]:
    """Samples that were there before, and those of them with another label than the first time."""
    first: dict[bytes, int] = {}
    again = torch.tensor([first.setdefault(mark, place) for place, mark in enumerate(marks)], dtype=torch.int64)
    repeated = again != torch.arange(len(marks))
    differs = labels[again] != labels if labels is not None and len(marks) else torch.zeros(len(marks)) > 0
    return _places(repeated), _places(repeated & differs)


def _leak(known: str, held: str, known_marks: Sequence[bytes], held_marks: Sequence[bytes]) -> Leak | None:
    """Samples of one split that are in another too; None where there are none."""
    place = {mark: n for n, mark in reversed(list(enumerate(known_marks)))}  # of equal ones the first
    pairs = [(n, place[mark]) for n, mark in enumerate(held_marks) if mark in place]
    return Leak(known, held, len(pairs), tuple(pairs[:_FIRST])) if pairs else None


def _constant(data: Data) -> Places | None:
    """Features that never change; None where that tells nothing."""
    x = data.train.x
    if data.vocabulary or len(x) < 2 or x.numel() == 0:
        return None
    return _places(x.amin(0) == x.amax(0))


def _words(x: Tensor) -> Words:
    lengths = (x != PADDING).sum(1)
    words = int(lengths.sum())
    counts = tuple(lengths.bincount(minlength=x.shape[1] + 1).tolist())
    return Words(counts, int((x == UNKNOWN).sum()) / words if words else None)
