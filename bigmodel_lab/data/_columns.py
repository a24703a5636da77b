"""Tables of a person's own, from CSV files and from pandas: which column holds the labels, and which rows can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text

LABEL_NAMES = ("label", "target", "class", "y")
"""A column with one of these names, in small or large letters, holds the labels."""
_SHOWN = 40  # stretches of numbers that a note lists


def label_position(names: Sequence[object]) -> int:
    """Which column holds the labels: the one that is called so, or else the last.

    >>> label_position(["Class", "width", "height"]), label_position(["width", "height", "kind"])
    (0, 2)
    """
    small = [str(name).strip().lower() for name in names]
    return next((small.index(name) for name in LABEL_NAMES if name in small), len(small) - 1)


def class_numbers(parts: Mapping[str, Sequence[str]]) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Labels that are written out, as numbers, and what the classes are called.

    Whole numbers from 0 stay what they are, as do numbers with a fraction, so that whoever checks labels
    can name them. All else are names: the classes are numbered in their order.

    Args:
        parts: The labels of each part of the data; one label means the same in all parts.

    Returns:
        The numbers of each part, and the names; no names where the labels were numbers.

    >>> numbers, names = class_numbers({"train": ["dog", "cat", "dog"], "test": ["cat"]})
    >>> numbers["train"].tolist(), names
    ([1.0, 0.0, 1.0], ('cat', 'dog'))
    """
    known = {label: _number(label) for labels in parts.values() for label in labels}
    values = [value for value in known.values() if value is not None]
    if len(values) == len(known) and (min(values, default=0) >= 0 or any(value % 1 for value in values)):
        return {name: np.array([known[label] for label in labels], float) for name, labels in parts.items()}, ()
    names = sorted(known, key=lambda label: (known[label] is None, known[label] or 0, label))
    place = {label: nth for nth, label in enumerate(names)}
    return {name: np.array([place[label] for label in labels], float) for name, labels in parts.items()}, tuple(names)


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def left_out(source: str, bad: Sequence[int], total: int, *, what: str, example: str) -> tuple[str, ...]:
    """The note about rows that cannot be used, with their numbers; none where all can.

    Args:
        source: File or frame.
        bad: Their numbers, rising.
        total: How many rows there are, good and bad.
        what: What they are called, e.g. ``"lines"``.
        example: What is wrong with the first of them.

    Raises:
        DataError: More than half cannot be used, so the table was probably misunderstood.
    """
    if not bad:
        return ()
    said = text(
        "data.left_out",
        "{source}: {count} of {total} {what} are left out, as a cell is missing or cannot be used: {numbers} ({example}).",
        source=source,
        count=len(bad),
        total=total,
        what=what,
        numbers=stretches(bad),
        example=example,
    )
    if 2 * len(bad) > total:
        raise DataError(
            text(
                "error.most_left_out",
                "{said} That is more than half. Is the table separated by commas, semicolons or tabs, and are "
                "words turned into numbers? The label is the column named label, target, class or y, or else the last.",
                said=said,
            )
        )
    return (said,)


def stretches(numbers: Sequence[int]) -> str:
    """Rising numbers in a few words.

    >>> stretches([3, 8, 9, 10, 15])
    '3, 8–10, 15'
    """
    groups = [list(group) for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    shown = [str(g[0][1]) if len(g) == 1 else f"{g[0][1]}–{g[-1][1]}" for g in groups[:_SHOWN]]
    more = sum(map(len, groups[_SHOWN:]))
    return ", ".join(shown) + (text("data.more_numbers", " and {more} more", more=more) if more else "")
