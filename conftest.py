"""Every test, doctests and notebooks included, records its runs into a folder of its own process and waits for its turn."""

from __future__ import annotations

import gc
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.turns import turn

TURNS = "BIGMODEL_LAB_TURNS"
"""Names the folder in which the workers of a session take turns."""
LONG = {"slow", "browser", "environment"}


def pytest_configure(config: pytest.Config) -> None:
    """Set before anything is collected, so that workers and the kernels started by tests inherit it."""
    folder = tempfile.TemporaryDirectory(prefix="bigmodel-lab-tests-")
    config.add_cleanup(folder.cleanup)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores are shared with browsers, servers and kernels
    os.environ["BIGMODEL_LAB_RUNS"] = str(Path(folder.name, "runs"))
    os.environ["JUPYTER_RUNTIME_DIR"] = str(Path(folder.name, "runtime"))
    if not _is_worker(config):
        os.environ[TURNS] = folder.name
    settings.register_profile("patient", deadline=None)  # on a busy machine an example may take long
    settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """What was collected and imported stays to the end: the garbage collector need not look through it every time."""
    gc.disable()
    collected = yield
    gc.enable()
    gc.collect()
    gc.freeze()
    return collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the tests, long files come first, and last those whose tests want the machine alone."""
    if not _is_worker(config):
        return
    marks: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        marks[item.path] |= {mark.name for mark in item.iter_markers()}

    def place(item: pytest.Item) -> int:
        if "alone" in marks[item.path]:
            return 2
        return 0 if item.path.suffix == ".ipynb" or marks[item.path] & LONG else 1

    items.sort(key=place)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # the time limit of a test does not count the waiting
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """A test that is marked ``alone`` runs while no other worker runs one."""
    if not _is_worker(item.config):
        return (yield)
    with turn(Path(os.environ[TURNS]), alone=item.get_closest_marker("alone") is not None):
        return (yield)


def _is_worker(config: pytest.Config) -> bool:
    """This process is one of several, among which pytest-xdist divides the tests."""
    return hasattr(config, "workerinput")
