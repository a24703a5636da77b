"""Messages from the kernel to the browser: a little JSON and one buffer of float32 numbers.

A group is one stream's part of a message. Its numbers, little-endian float32, in order:
``x[n]``, then for each key ``low[n]`` and, where the group is reduced, ``high[n]``; then the
latest value of each key. NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bigmodel_lab.widgets._history import Floats, History, Rows, reduce_rows

DELTA_BYTES = 1000
"""Numbers in one update, for up to 16 series: with Jupyter's own framing it stays below 2 kB."""
KEYFRAME_BYTES = 13_600
"""Numbers in one view of the whole run: with framing and reasons it stays below 16 kB."""
_SERIES = 16


class Group(NamedTuple):
    """What one message says of one stream."""

    stream: int
    """Index of the stream in the spec."""
    rows: Rows
    """The stretch, any number of buckets."""
    last: Floats
    """Latest value of each key; NaN is unknown."""

    @property
    def keys(self) -> int:
        """Columns of the stream."""
        return len(self.last)


@dataclass(frozen=True)
class Frame:
    """One message, ready for the widget's ``send``."""

    content: dict[str, Any]
    """The JSON part."""
    buffer: bytes
    """The numbers of all groups, one after the other."""


def delta(seq: int, groups: Sequence[Group], state: Mapping[str, Any]) -> Frame:
    """What is new since the last delta; sparse rows go exactly, dense ones as a few buckets."""
    series = sum(group.keys for group in groups)
    fitted = fit(groups, DELTA_BYTES * max(1, -(-series // _SERIES)))
    return _frame({"type": "delta", "seq": seq}, fitted, state)


def keyframe(seq: int, histories: Sequence[tuple[int, History, Floats]], state: Mapping[str, Any]) -> Frame:
    """The whole history so far.

    Args:
        seq: Number of the message.
        histories: Index of the stream, its history, and the latest value of each key.
        state: What the browser shows beside the charts.
    """
    bucket_bytes = sum(4 * (1 + 2 * len(last)) for _, _, last in histories)
    buckets = max(4, KEYFRAME_BYTES // max(1, bucket_bytes))
    groups = [Group(stream, history.rows(buckets), last) for stream, history, last in histories]
    return _frame({"type": "keyframe", "seq": seq}, groups, state)


def range_answer(request: object, group: Group) -> Frame:
    """Finer data of a stretch that the browser asked for."""
    return _frame({"type": "range", "request": request}, [group], None)


def tips(content: Mapping[str, Any]) -> Frame:
    """Every card of a tip and what ran out of memory; a change sends them all, which is seldom."""
    return Frame({"type": "tips", **content}, b"")


def ack(name: str, *, ok: bool, number: object = None) -> Frame:
    """Says that a command was put into the mailbox, or that it was refused.

    Args:
        name: Of the command.
        ok: It was put into the mailbox.
        number: Of the proposal that it was about; None for a command about the run.
    """
    about = {} if number is None else {"id": number}
    return Frame({"type": "ack", "name": name, "ok": ok, **about}, b"")


def fit(groups: Sequence[Group], limit_bytes: int) -> list[Group]:
    """The groups in their order, reduced so that their numbers fit into ``limit_bytes``.

    Small groups are served first and whole; what they leave goes to the dense ones.
    """
    sizes = [_size(group) for group in groups]
    left = limit_bytes
    if sum(sizes) <= left:
        return list(groups)
    fitted = list(groups)
    for nth, at in enumerate(sorted(range(len(groups)), key=sizes.__getitem__)):
        share = left // (len(groups) - nth)
        if sizes[at] > share:
            fitted[at] = _reduced(groups[at], share)
            sizes[at] = _size(fitted[at])
        left -= sizes[at]
    return fitted


def _reduced(group: Group, share: int) -> Group:
    bucket_bytes = 4 * (1 + 2 * group.keys)
    buckets = max(1, (share - 4 * group.keys) // bucket_bytes)
    return Group(group.stream, reduce_rows(group.rows, buckets), group.last)


def _size(group: Group) -> int:
    rows, keys = group.rows, len(group.last)
    return 4 * (len(rows.x) * (1 + _planes(rows) * keys) + keys)


def _planes(rows: Rows) -> int:
    """1 where low is enough, 2 where low and high differ."""
    return 1 if rows.exact else 2


def _frame(content: dict[str, Any], groups: Sequence[Group], state: Mapping[str, Any] | None) -> Frame:
    content["groups"] = [[group.stream, len(group.rows.x), _planes(group.rows)] for group in groups]
    if state is not None:
        content["state"] = dict(state)
    return Frame(content, _numbers(groups) if groups else b"")


def _numbers(groups: Sequence[Group]) -> bytes:
    parts: list[Floats] = []
    for group in groups:
        parts += (group.rows.x, _by_key(group.rows), group.last)
    with np.errstate(over="ignore"):  # beyond float32 is drawn as infinite, which it is for a chart
        return np.concatenate(parts).astype("<f4").tobytes()


def _by_key(rows: Rows) -> Floats:
    """Key after key its low values, and where the rows are reduced its high values behind them."""
    if rows.exact:
        return rows.low.T.ravel()
    both = np.empty((rows.low.shape[1], 2, len(rows.x)))
    both[:, 0], both[:, 1] = rows.low.T, rows.high.T
    return both.ravel()
