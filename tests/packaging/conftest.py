"""The project's own distributions, built once for all packaging tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "dist", "build", "demo_output", "*.bmlrun*")


def run(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Standard output of a program; the test fails with its last words where the program fails."""
    ended = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=280
    )
    assert ended.returncode == 0, f"{' '.join(map(str, words))}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


def path_without_node(folder: Path) -> dict[str, str]:
    """An environment whose PATH has the interpreter's own tools and no Node."""
    folder.mkdir(exist_ok=True)
    for tool in ("sh", "bash", "env", "uname"):
        found = shutil.which(tool)
        if found and not (folder / tool).exists():
            (folder / tool).symlink_to(found)
    return {**os.environ, "PATH": str(folder)}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing behind in it."""
    copy = tmp_path_factory.mktemp("source") / "bigmodel_lab"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    shutil.copy(ROOT / ".gitignore", copy)
    return copy


@pytest.fixture(scope="session")
def distributions(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds ``"wheel"`` or ``"sdist"`` from the copy, each once, with the tools that are installed."""
    out = tmp_path_factory.mktemp("dist")
    suffix = {"wheel": "*.whl", "sdist": "*.tar.gz"}

    def build(kind: str) -> Path:
        if not list(out.glob(suffix[kind])):
            run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source)
        (built,) = out.glob(suffix[kind])
        return built

    return build


@pytest.fixture(scope="session")
def wheel(distributions: Callable[[str], Path]) -> Path:
    """The wheel, as `make wheel` builds it."""
    return distributions("wheel")


@pytest.fixture(scope="session")
def sdist(distributions: Callable[[str], Path]) -> Path:
    """The source distribution."""
    return distributions("sdist")


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with nothing in it, not even pip."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"
