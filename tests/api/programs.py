"""Training in another process, for tests of what reaches it from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bigmodel_lab.runlog import LiveRun, live_runs

LONG = 'import bigmodel_lab as lab\nrun = lab.fit("mlp", epochs=100_000)\nprint("went on:", run.status.value)\n'
"""A script that trains until it is stopped, and then says with which status it goes on."""


@contextmanager
def script(code: str = LONG) -> Iterator[subprocess.Popen[str]]:
    """Run this code in a process of its own, which is killed at the end of the block if need be."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def await_live(steps: int = 20, seconds: float = 60) -> LiveRun:
    """The one live run, as soon as it has made some steps."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ready = [run for run in live_runs() if run.step >= steps]
        if ready:
            return ready[0]
        time.sleep(0.05)
    raise AssertionError(f"no run made {steps} steps within {seconds} s: {live_runs()}")
