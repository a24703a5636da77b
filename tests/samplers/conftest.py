"""A stub driver for Python processes of their own: real pynvml, answers from a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

STUBS = Path(__file__).parents[1] / "stubs"
PRELUDE = """
import json, os
def settings(text):
    fresh = os.environ["STUB_NVML"] + ".new"
    open(fresh, "w").write(text)
    os.replace(fresh, os.environ["STUB_NVML"])
def show(value):
    print(json.dumps(value))
"""


def _compiled(folder: Path, source: str, name: str, *options: str) -> Path:
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{name}", *options]
    subprocess.run([*command, "-o", str(folder / name), str(STUBS / source)], check=True)
    return folder


@pytest.fixture(scope="session")
def driver(tmp_path_factory) -> Path:
    """Folder with a libnvidia-ml.so.1 of today."""
    return _compiled(tmp_path_factory.mktemp("nvml"), "fake_nvml.c", "libnvidia-ml.so.1")


@pytest.fixture(scope="session")
def old_driver(tmp_path_factory) -> Path:
    """Folder with a libnvidia-ml.so.1 from before R510."""
    return _compiled(tmp_path_factory.mktemp("old_nvml"), "fake_nvml.c", "libnvidia-ml.so.1", "-DOLD_DRIVER")


@pytest.fixture(scope="session")
def cuda(tmp_path_factory) -> Path:
    """Folder with a libcuda.so.1."""
    return _compiled(tmp_path_factory.mktemp("cuda"), "fake_cuda.c", "libcuda.so.1")


class Stub:
    """Runs code in a process that finds the stub libraries."""

    def __init__(self, driver: Path, folder: Path) -> None:
        self.folders = [driver]
        self.calls_file = folder / "calls"
        self.settings_file = folder / "settings"
        self.environment: dict[str, str] = {}

    def run(self, settings: str, code: str):
        """What the code passes to ``show``, with the driver in this state at the start."""
        self.settings_file.write_text(settings, encoding="utf-8")
        hidden = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH"}
        environment = {
            **{k: v for k, v in os.environ.items() if k not in hidden},
            "LD_LIBRARY_PATH": ":".join(map(str, self.folders)),
            "STUB_NVML": str(self.settings_file),
            "STUB_NVML_CALLS": str(self.calls_file),
            **self.environment,
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def calls(self) -> list[str]:
        """Names of the functions that the driver was asked, in order."""
        return self.calls_file.read_text(encoding="utf-8").split() if self.calls_file.exists() else []


@pytest.fixture
def stub(driver, tmp_path) -> Stub:
    """A stub driver of today, without libcuda."""
    return Stub(driver, tmp_path)
