"""Messages to the browser."""

from __future__ import annotations

import numpy as np

from bigmodel_lab.widgets import _frames
from bigmodel_lab.widgets._frames import Group
from bigmodel_lab.widgets._history import History, Rows


def group(stream, count, keys, first=0):
    """A group of so many rows and keys."""
    values = np.arange(count * keys, dtype=float).reshape(count, keys)
    return Group(stream, Rows(np.arange(first, first + count, dtype=float), values, values, exact=True), np.ones(keys))


def unpack(frame, keys):
    """The numbers of each group as the browser reads them."""
    numbers, at, found = np.frombuffer(frame.buffer, "<f4"), 0, []
    for (_, count, planes), k in zip(frame.content["groups"], keys, strict=True):
        size = count * (1 + planes * k) + k
        part, at = numbers[at : at + size], at + size
        found.append((part[:count], part[count:-k].reshape(k, planes, count), part[-k:]))
    assert at == len(numbers)
    return found


def test_sparse_rows_go_exactly():
    """Two rows of two keys are sent as they are, with low only."""
    frame = _frames.delta(1, [group(0, 2, 2)], {})

    (x, planes, last) = unpack(frame, [2])[0]

    assert frame.content["groups"] == [[0, 2, 1]]
    assert x.tolist() == [0, 1]
    assert planes[:, 0].tolist() == [[0, 2], [1, 3]]
    assert last.tolist() == [1, 1]


def test_dense_rows_are_reduced_to_the_budget_with_their_extremes():
    """Ten thousand rows of sixteen series fit one update, and the largest value is in it."""
    frame = _frames.delta(1, [group(i, 10_000, 4) for i in range(4)], {})

    assert len(frame.buffer) <= _frames.DELTA_BYTES
    assert all(planes[3, 1].max() == 39_999 for _, planes, _ in unpack(frame, [4] * 4))


def test_sparse_groups_are_whole_beside_a_dense_one():
    """A dense stream does not push the rows of a sampler out."""
    frame = _frames.delta(1, [group(0, 5000, 4), group(1, 1, 4)], {})

    assert frame.content["groups"][1] == [1, 1, 1]
    assert frame.content["groups"][0][1] > 10


def test_keyframe_of_a_long_run_fits():
    """A keyframe of 16 series costs the same after two million rows."""
    histories = []
    for stream in range(4):
        history = History(4)
        for at in range(0, 500_000, 100_000):
            history.add(group(stream, 100_000, 4, at).rows)
        histories.append((stream, history, np.ones(4)))

    frame = _frames.keyframe(9, histories, {"step": 1})

    assert 10_000 < len(frame.buffer) <= 14_000
    assert frame.content["type"] == "keyframe"
    assert frame.content["state"] == {"step": 1}


def test_groups_may_be_empty():
    """A message about the state alone has no numbers."""
    frame = _frames.delta(3, [], {"status": "paused"})

    assert frame.buffer == b""
    assert frame.content["groups"] == []


def test_a_value_beyond_float32_is_infinite():
    """A loss of 1e300 does not raise or warn."""
    values = np.array([[1e300]])
    frame = _frames.delta(1, [Group(0, Rows(np.zeros(1), values, values, exact=True), values[0])], {})

    assert np.isinf(np.frombuffer(frame.buffer, "<f4")[1])
