"""Reduction by minimum and maximum: every spike survives, at any number of buckets."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import Block, RunLog, RunReader
from bigmodel_lab.runlog.chunks import BLOCK, Chunks
from bigmodel_lab.runlog.database import inserting

ROWS = 3 * BLOCK * 8 + 777  # three blobs of level 1 and a tail of raw rows


def awkward_values(rows, seed=0):
    """Noise with spikes, infinities, single unknown values and long unknown stretches."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 2))
    values[rng.integers(0, rows, 40), 0] = rng.choice([1e300, -1e300, np.inf, -np.inf], 40)
    values[rng.integers(0, rows, rows // 10), 1] = np.nan
    values[rows // 3 : rows // 2, 1] = np.nan
    return values


def write(path, blocks):
    """Write blocks as the writer does: chunk by chunk, sealing as they come."""
    with inserting(path) as db:
        db.execute("INSERT INTO streams VALUES (1, 'step', 'step', '[\"a\", \"b\"]')")
        chunks = Chunks(db, 1, 2)
        for block in blocks:
            chunks.insert(block, 0)
            chunks.seal()


def cut(values, first=0, size=1000):
    """The rows in blocks of ``size``."""
    for a in range(0, len(values), size):
        part = values[a : a + size]
        index = np.arange(first + a, first + a + len(part))
        yield Block("step", first + a, index, index * 10, part)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A reader on a run with ``ROWS`` awkward rows, and these rows."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bigmodel_lab.runlog.folder.on_network", lambda _: False)
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        log = RunLog.create("long", folder)
        log.close()
    values = awkward_values(ROWS)
    write(log.path, cut(values))
    return RunReader(log.path), values


def expected(values, start, stop, size):
    """Minimum and maximum of each bucket, the slow way."""
    lows, highs, firsts = [], [], []
    for bucket in range(start // size, (stop - 1) // size + 1):
        part = values[max(start, bucket * size) : min(stop, (bucket + 1) * size)]
        known = [column[~np.isnan(column)] for column in part.T]
        lows.append([min(column, default=np.nan) for column in known])
        highs.append([max(column, default=np.nan) for column in known])
        firsts.append(max(start, bucket * size))
    return firsts, lows, highs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)), buckets=st.integers(1, 3000))
def test_every_bucket_has_the_exact_minimum_and_maximum(long_run, ends, buckets):
    """For any stretch and any number of buckets, unknown and infinite values included."""
    reader, values = long_run
    start, stop = sorted(ends)
    reduced = reader.reduced("step", buckets, start, stop)
    assert len(reduced.low) <= buckets
    if start == stop:
        assert len(reduced.low) == 0
        return
    firsts, lows, highs = expected(values, start, stop, reduced.rows_per_bucket)
    assert reduced.step.tolist() == firsts
    assert reduced.monotonic_ns.tolist() == [first * 10 for first in firsts]
    np.testing.assert_array_equal(reduced.low, lows)
    np.testing.assert_array_equal(reduced.high, highs)


def test_few_rows_stay_rows(long_run):
    """When there are more buckets than rows, the rows themselves come back."""
    reader, values = long_run
    reduced = reader.reduced("step", 500, 100, 200)
    assert reduced.rows_per_bucket == 1
    np.testing.assert_array_equal(reduced.low, values[100:200])
    np.testing.assert_array_equal(reduced.high, values[100:200])


def test_resolution_is_not_wasted(long_run):
    """At least half of the buckets that were asked for are used."""
    reader, _ = long_run
    for buckets in (10, 100, 1000):
        assert buckets / 2 <= len(reader.reduced("step", buckets).low) <= buckets


def test_sealing_is_invisible(long_run):
    """All rows are read back unchanged, although their chunks were merged."""
    reader, values = long_run
    block = reader.read("step")
    assert (block.first, len(block)) == (0, ROWS)
    np.testing.assert_array_equal(block.values, values)
    np.testing.assert_array_equal(block.monotonic_ns, np.arange(ROWS) * 10)


def test_a_gap_is_passed_over(tmp_path):
    """Rows that are missing make no bucket; reading stops before them and goes on behind."""
    log = RunLog.create("gap", tmp_path)
    log.close()
    values = awkward_values(BLOCK, seed=1)
    write(log.path, [*cut(values[:3000]), *cut(values, first=5 * BLOCK + 11)])
    reader = RunReader(log.path)
    first = reader.read("step")
    assert (first.first, first.next) == (0, 3000)
    second = reader.read("step", first.next)
    assert (second.first, len(second)) == (5 * BLOCK + 11, BLOCK)
    np.testing.assert_array_equal(second.values, values)
    reduced = reader.reduced("step", 100)
    assert not ((reduced.step > 3000) & (reduced.step < 5 * BLOCK + 11)).any()
    assert np.nanmax(reduced.high[:, 0]) == np.nanmax(values[:, 0])


def test_a_key_that_came_later_is_unknown_before(tmp_path):
    """Blocks sealed with fewer columns fit those sealed with more."""
    log = RunLog.create("wider", tmp_path)
    steps = log.stream("step", keys=("loss",))
    for i in range(BLOCK + 10):
        steps.append(i, i, (float(i),))
    assert log.flush(20)
    steps.add_key("score")
    for i in range(BLOCK):
        steps.append(i, i, (float(i), 5.0))
    log.close()
    reduced = RunReader(log.path).reduced("step", 64)
    known = ~np.isnan(reduced.high[:, 1])
    assert reduced.low.shape[1] == 2
    assert not known[: BLOCK // reduced.rows_per_bucket - 1].any()
    assert known[-10:].all()


def test_millions_of_rows_are_reduced_quickly(tmp_path):
    """The pyramid answers for two million rows about as fast as for the last block of them."""
    log = RunLog.create("millions", tmp_path)
    log.close()
    rows = 2_000_000
    values = np.random.default_rng(0).normal(size=(rows, 2))
    values[1_234_567, 0] = 99.0
    write(log.path, cut(values, size=4 * BLOCK))
    reader = RunReader(log.path)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        reduced = reader.reduced("step", 1000)
        took.append(time.perf_counter() - start)
    assert reduced.high[:, 0].max() == 99.0
    start = time.perf_counter()
    reader.read("step")
    assert min(took) < (time.perf_counter() - start) / 3


def test_no_bucket_is_refused(long_run):
    """The message shows the value."""
    with pytest.raises(ConfigError, match="it is 0"):
        long_run[0].reduced("step", 0)
