"""Kill -9 at any moment loses at most the last half second of samples, never the file."""

import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bigmodel_lab.runlog import RunLog, RunReader, Status

CHILD = Path(__file__).with_name("child.py")
KILLS = 50
AT_A_TIME = 2  # as many as a small machine has cores
HALF_SECOND_NS = 500_000_000

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 as on POSIX")


def start_child(folder):
    """A process that logs into ``folder``; returns it, its run file and its board."""
    folder.mkdir()
    board = folder / "board"
    board.write_bytes(bytes(16))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(CHILD), str(folder), str(board)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    return child, Path(child.stdout.readline().strip()), board


def kill(child):
    """Kill -9, and wait until the process is gone."""
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def check(path, board):
    """Everything that must hold for the file of a killed run."""
    appended, last_ns = struct.unpack("=qq", board.read_bytes())
    reader = RunReader(path)
    assert reader.status() is Status.LOST
    rows = reader.count("step") if reader.streams() else 0
    written_ns = reader.header()["started_monotonic_ns"]
    if rows:
        block = reader.read("step")
        assert block.step.tolist() == list(range(rows))
        assert np.array_equal(block.values, np.tile((0.5, 0.25, 0.0003, 100_000.0), (rows, 1)))
        written_ns = int(block.monotonic_ns[-1])
    assert rows <= appended + 1
    assert last_ns - written_ns <= HALF_SECOND_NS, f"{appended - rows} rows are missing"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
@pytest.mark.alone
def test_kill_at_random_moments(tmp_path):
    """Fifty runs are killed at random moments of their first seconds; all files hold."""
    random_numbers = random.Random(20250101)
    moments = [random_numbers.uniform(0.0, 0.9) for _ in range(KILLS)]

    def start_kill_and_check(number):
        child, path, board = start_child(tmp_path / str(number))
        time.sleep(moments[number])
        kill(child)
        check(path, board)

    with ThreadPoolExecutor(AT_A_TIME) as several:
        list(several.map(start_kill_and_check, range(KILLS)))


@pytest.mark.alone
def test_a_killed_run_goes_on(tmp_path):
    """After a kill the run can be opened again, and nothing that was written is lost."""
    child, path, board = start_child(tmp_path / "runs")
    while struct.unpack("=qq", board.read_bytes())[0] < 1000:
        time.sleep(0.01)
    kill(child)
    check(path, board)
    rows = RunReader(path).count("step")
    log = RunLog.reopen(path)
    log.stream("step").append(rows, time.monotonic_ns(), (1.0,))
    log.close(Status.FINISHED)
    reader = RunReader(path)
    assert reader.status() is Status.FINISHED
    assert reader.read("step").step.tolist() == list(range(rows + 1))


def test_a_reader_in_another_process_sees_rows_grow(tmp_path):
    """While a run is being written, each read finds more, and the status is RUNNING."""
    child, path, _ = start_child(tmp_path / "runs")
    try:
        reader, counts = RunReader(path), set()
        deadline = time.monotonic() + 30
        while len(counts) < 4:
            assert time.monotonic() < deadline
            if reader.streams():
                counts.add(reader.count("step"))
        assert reader.status() is Status.RUNNING
    finally:
        kill(child)
