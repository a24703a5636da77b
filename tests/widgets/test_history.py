"""Online reduction of a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.widgets._history import History, Rows, ascending, join_rows, reduce_rows


def rows(values, first=0):
    """Exact rows of these values."""
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    return Rows(np.arange(first, first + len(values), dtype=float), values, values, exact=True)


def test_few_rows_are_kept_exactly():
    """Below the capacity every row is its own bucket."""
    history = History(1, capacity=8)
    history.add(rows([3.0, 1.0, 2.0]))

    kept = history.rows(8)

    assert kept.exact
    assert kept.low.ravel().tolist() == [3.0, 1.0, 2.0]


def test_width_doubles_when_full():
    """The ninth row of eight buckets makes each bucket twice as wide."""
    history = History(1, capacity=8)
    history.add(rows(range(8)))
    history.add(rows([8], first=8))

    kept = history.rows(8)

    assert history.rows_per_bucket == 2
    assert kept.x.tolist() == [0, 2, 4, 6, 8]
    assert kept.high.ravel().tolist() == [1, 3, 5, 7, 8]
    assert not kept.exact


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.randoms())
def test_any_cutting_gives_the_same_buckets(lengths, random):
    """However the rows arrive, minimum, maximum and coverage are those of the whole stream."""
    values = [random.random() for _ in range(sum(lengths))]
    history, at = History(1, capacity=16), 0
    for length in lengths:
        history.add(rows(values[at : at + length], first=at))
        at += length

    kept, width = history.rows(16), history.rows_per_bucket

    chunks = [values[i : i + width] for i in range(0, len(values), width)]
    assert [min(chunk) for chunk in chunks] == kept.low.ravel().tolist()
    assert [max(chunk) for chunk in chunks] == kept.high.ravel().tolist()
    assert len(kept) <= 16


def test_a_spike_survives_two_million_rows():
    """A single spike in a run of two million steps is still the maximum."""
    values = np.zeros(2_000_000)
    values[1_234_567] = 7.0
    history = History(1)
    for at in range(0, len(values), 8000):
        history.add(rows(values[at : at + 8000], first=at))

    assert history.rows(100).high.max() == 7.0


def test_unknown_values_do_not_hide_known_ones():
    """A bucket with one known value has that value."""
    reduced = reduce_rows(rows([np.nan, 5.0, np.nan, np.nan]), 2)

    assert reduced.low[0, 0] == 5.0
    assert np.isnan(reduced.low[1, 0])


def test_last_is_the_latest_known_value_of_each_key():
    """A key that is recorded now and then keeps its latest value."""
    history = History(2)
    history.add(rows([[1.0, 8.0], [2.0, np.nan]]))
    history.add(rows([[3.0, np.nan]], first=2))

    assert history.last.tolist() == [3.0, 8.0]


def test_a_late_key_is_unknown_before():
    """A key added later has no values in the old buckets."""
    history = History(1)
    history.add(rows([1.0]))
    history.add_keys(2)
    history.add(rows([[2.0, 9.0]], first=1))

    assert np.isnan(history.rows(8).low[0, 1])
    assert history.rows(8).low[1, 1] == 9.0


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_row(count):
    """The ends of the range: no rows, and one."""
    history = History(3)
    history.add(rows(np.ones((count, 3))))

    assert len(history.rows(10)) == count


def test_a_late_key_leaves_waiting_rows_as_they_were():
    """Rows that were not reduced yet when a key came keep their values."""
    history = History(1)
    for row in range(3):
        history.add(rows([float(row)], first=row))
    history.add_keys(2)

    assert history.rows(8).low[:, 0].tolist() == [0, 1, 2]


def test_last_on_its_way_is_not_changed_by_later_rows():
    """A message holds the latest values of its own moment."""
    history = History(2)
    history.add(rows([[1.0, 2.0]]))
    sent = history.last
    history.add(rows([[3.0, np.nan]], first=1))

    assert sent.tolist() == [1.0, 2.0]
    assert history.last.tolist() == [3.0, 2.0]


def test_stretches_join_to_one():
    """A reduced stretch and exact rows behind it are reduced as a whole."""
    low, high = np.array([[1.0]]), np.array([[4.0]])
    joined = join_rows([Rows(np.zeros(1), low, high, exact=False), rows([2.0, 3.0], first=1)])

    assert joined.x.tolist() == [0, 1, 2]
    assert (joined.low.ravel().tolist(), joined.high.ravel().tolist()) == ([1, 2, 3], [4, 2, 3])
    assert not joined.exact


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(-1, 9))
def test_an_ascending_axis_is_the_furthest_step_so_far(steps, furthest):
    """Whatever the order of the steps, each counts at the furthest one made until then."""
    made = rows(np.zeros(len(steps)))
    made.x = np.array(steps, dtype=float)

    expected = [max([furthest, *steps[: n + 1]]) for n in range(len(steps))]
    assert ascending(made, furthest).x.tolist() == expected


def test_rows_that_ascend_are_not_copied():
    """An update costs nothing more where no step is made again, also where it begins at the furthest step."""
    made = rows([1.0, 2.0, 3.0], first=7)

    assert ascending(made, 7.0) is made


def test_rows_that_go_back_are_not_changed_themselves():
    """Whoever holds them still has the steps as they were recorded."""
    made = rows([1.0, 2.0], first=3)
    moved = ascending(made, 9.0)

    assert (made.x.tolist(), moved.x.tolist()) == ([3, 4], [9, 9])
    assert moved.low is made.low
