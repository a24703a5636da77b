"""The newest rows of a stream, in memory."""

import threading

import numpy as np
import pytest

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog.ring import ROWS, Start, Stream


@pytest.fixture
def stream():
    """Two keys, no rows."""
    return Stream("step", "step", ("loss", "accuracy"))


def test_a_row_comes_back_as_it_was_appended(stream):
    """Step, time and values of a row are read unchanged."""
    stream.append(7, 123_456_789_012, (0.5, 0.25))
    block = stream.read()
    assert (block.first, block.step.tolist(), block.monotonic_ns.tolist()) == (0, [7], [123_456_789_012])
    assert block.values.tolist() == [[0.5, 0.25]]


@pytest.mark.parametrize("values", [(0.5,), (0.5, None), [np.float32(0.5)]])
def test_what_is_missing_is_unknown(stream, values):
    """A short row and None both become NaN, never 0."""
    stream.append(1, 1, values)
    assert stream.read().values[0, 0] == 0.5
    assert np.isnan(stream.read().values[0, 1])


def test_too_many_values_are_refused_and_add_no_row(stream):
    """The message tells how many came, and nothing was appended."""
    with pytest.raises(ConfigError, match="2 keys and got 3 values"):
        stream.append(1, 1, (1.0, 2.0, 3.0))
    assert stream.count == 0


def test_reading_goes_on_from_the_cursor(stream):
    """The next cursor of one block is where the following begins."""
    for i in range(10):
        stream.append(i, i, (float(i), 0.0))
    block = stream.read(3, 4)
    assert (block.first, block.next, block.step.tolist()) == (3, 7, [3, 4, 5, 6])
    assert stream.read(block.next).step.tolist() == [7, 8, 9]
    assert len(stream.read(10)) == 0


def test_a_slow_reader_finds_the_gap(stream):
    """After the ring went round, the block begins at the oldest row that is left."""
    for i in range(ROWS + 100):
        stream.append(i, i, (float(i), 0.0))
    block = stream.read(5, 3)
    assert block.first == 101
    assert block.step.tolist() == block.values[:, 0].tolist() == [101, 102, 103]


def test_a_new_key_is_unknown_before_and_known_after(stream):
    """Rows keep their values while a column is added."""
    stream.append(1, 1, (0.5, 0.25))
    assert stream.add_key("my_score") == 2
    stream.append(2, 2, (0.4, 0.3, 9.0))
    assert np.array_equal(stream.read().values, [[0.5, 0.25, np.nan], [0.4, 0.3, 9.0]], equal_nan=True)


def test_an_existing_key_keeps_its_column(stream):
    """Asking twice for the same key changes nothing."""
    assert stream.add_key("accuracy") == 1
    assert stream.keys == ("loss", "accuracy")


def test_a_stream_has_at_most_32_keys(stream):
    """The 33rd key is refused with the limit in the message."""
    for i in range(30):
        stream.add_key(f"key_{i}")
    with pytest.raises(ConfigError, match="At most 32"):
        stream.add_key("one_more")


def test_a_stream_goes_on_where_the_file_ends():
    """Count, last step and clock continue those of the earlier session."""
    stream = Stream("step", "step", ("loss",), Start(count=50, last_step=49, shift_ns=1000))
    assert (stream.count, stream.last_step, len(stream.read(0))) == (50, 49, 0)
    stream.append(50, 5, (1.0,))
    block = stream.read(0)
    assert (block.first, block.monotonic_ns.tolist(), stream.last_step) == (50, [1005], 50)


def test_a_reader_never_sees_half_a_row(stream):
    """While another thread appends, every row that is read has matching step and values."""
    done = threading.Event()

    def append():
        for i in range(150_000):
            stream.append(i, i, (float(i), float(-i)))
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    cursor = seen = 0
    while not done.is_set():
        block = stream.read(cursor)
        cursor, seen = block.next, seen + len(block)
        index = np.arange(block.first, block.next)
        assert np.array_equal(block.step, index)
        assert np.array_equal(block.values, np.stack([index, -index], axis=1))
    thread.join()
    assert seen > 0


def test_a_block_may_reach_over_the_end_of_the_memory(stream):
    """Rows on both sides of the place where the ring begins anew come back in order."""
    for i in range(ROWS + 100):
        stream.append(i, 2 * i, (float(i), float(-i)))
    block = stream.read(ROWS - 3, 6)
    index = np.arange(ROWS - 3, ROWS + 3)
    assert np.array_equal(block.step, index)
    assert np.array_equal(block.monotonic_ns, 2 * index)
    assert np.array_equal(block.values, np.stack([index, -index], axis=1))


def test_a_block_keeps_its_numbers_while_rows_are_appended(stream):
    """What was read is a copy: a whole round of the ring later it is unchanged."""
    stream.append(7, 8, (0.5, 0.25))
    block = stream.read()
    for i in range(ROWS):
        stream.append(i, i, (9.0, 9.0))
    assert (block.step.tolist(), block.monotonic_ns.tolist(), block.values.tolist()) == ([7], [8], [[0.5, 0.25]])


def test_the_header_tells_of_a_new_key(stream):
    """It is the same object until a column is added."""
    before = stream.header()
    assert stream.header() is before
    stream.add_key("my_score")
    assert stream.header().keys == ("loss", "accuracy", "my_score")
