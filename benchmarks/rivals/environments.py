"""An environment for each other estimator, made once, and the questions that are asked in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import ROOT
from benchmarks.rivals.answers import MARK, none

FOLDER = ROOT / ".venv-rivals"
"""Kept between runs; git ignores it."""
_MOST_SECONDS = 3600.0
_COMMON = ("torch==2.13.0", "transformers==5.23.0", "psutil", "numpy")
"""What builds the measured models; the last two are asked for by this project's own modules."""


@dataclass(frozen=True)
class Rival:
    """Another estimator."""

    name: str
    """Of its environment and its file here."""
    package: str
    """What is installed; empty where it is a part of torch."""
    needs_models: bool = True
    """It looks at modules; False: at sizes alone, without torch."""

    @cached_property
    def python(self) -> Path:
        """The interpreter of its environment."""
        scripts = "Scripts" if os.name == "nt" else "bin"
        return FOLDER / self.name / scripts / "python"

    def install(self) -> None:
        """Make its environment unless it is there; which index gives torch for the CPU, pip's own settings say.

        Raises:
            subprocess.CalledProcessError: It cannot be installed.
        """
        ready = FOLDER / self.name / "ready"
        if ready.is_file():
            return
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER / self.name)], check=True)
        wanted = [*(_COMMON if self.needs_models else ()), *([self.package] if self.package else [])]
        for package in wanted:  # torch first, so that no other package chooses it
            subprocess.run([str(self.python), "-m", "pip", "install", "--quiet", package], check=True)
        ready.touch()

    def version(self) -> str:
        """Of the package, or of torch."""
        package = self.package.partition("[")[0].partition("==")[0] or "torch"
        line = [str(self.python), "-c", f"from importlib.metadata import version; print(version({package!r}))"]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    def ask(self, questions: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Answers by the names of the programs; where its process dies over one, that is the answer.

        Args:
            questions: Facts of programs, as :func:`benchmarks.estimators.facts` gives them.
        """
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(questions):
            left = [question for question in questions if question["name"] not in found]
            said, last = self._run(left)
            found |= {answer["name"]: answer for answer in answers_in(said)}
            if len(found) < len(questions):
                failed = next(question["name"] for question in left if question["name"] not in found)
                found[failed] = {"name": failed, **none(f"it failed: {last}")}
        return found

    def _run(self, questions: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
        """What it printed, and the last line of its errors."""
        asked = "".join(json.dumps(question) + "\n" for question in questions)
        line = [str(self.python), "-W", "ignore", "-m", f"benchmarks.rivals.{self.name}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        ended = subprocess.run(
            line,
            input=asked,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment,
            timeout=_MOST_SECONDS,
        )
        errors = [line for line in ended.stderr.strip().splitlines() if line.strip()] or ["no message"]
        return ended.stdout.splitlines(), errors[-1][:200]


RIVALS = (
    Rival("torch_preflight", "torch-preflight"),
    Rival("fitcheck", "fitcheck-llm", needs_models=False),
    Rival("torch_kitsune", "torch-kitsune[predict]"),
    Rival("accelerate", "accelerate"),
    Rival("mem_tracker", ""),
)
"""In the order of the table."""


def answers_in(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The answers among whatever a tool printed.

    >>> answers_in(["Loading…", 'answer: {"name": "gpt2"}'])
    [{'name': 'gpt2'}]
    """
    return [json.loads(line[len(MARK) :]) for line in lines if line.startswith(MARK)]
