"""Every test, doctests and notebooks included, records its runs into a folder of its own session."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set before anything is collected, so that kernels started by tests inherit it."""
    folder = tempfile.TemporaryDirectory(prefix="bigmodel-lab-tests-")
    config.add_cleanup(folder.cleanup)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores are shared with browsers, servers and kernels
    os.environ["BIGMODEL_LAB_RUNS"] = str(Path(folder.name, "runs"))
    os.environ["JUPYTER_RUNTIME_DIR"] = str(Path(folder.name, "runtime"))
