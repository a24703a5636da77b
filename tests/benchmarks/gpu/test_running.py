"""Cases run one by one, in this process or in their own, until the time is up."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import running
from benchmarks.gpu.cases import Case
from benchmarks.gpu.rows import Row
from benchmarks.gpu.running import OUT_OF_TIME, Deadline, in_own_process, run_all, run_case, run_here
from benchmarks.gpu.shapes import MLP
from bigmodel_lab.memory.recording import Recording
from tests.benchmarks.gpu.standins import CountingCard, truth

CASE = Case(MLP((5, 3)), 2)


def test_nothing_begins_after_the_deadline() -> None:
    """The rest says so."""
    deadline = iter([False, True, True])

    class Soon:
        @property
        def passed(self) -> bool:
            return next(deadline)

    rows = list(run_all((CASE,) * 3, lambda case: Row(case.name, truth=truth()), Soon()))  # type: ignore[arg-type]

    assert [row.why_not for row in rows] == ["", OUT_OF_TIME, OUT_OF_TIME]


def test_a_deadline_lies_in_the_future() -> None:
    """Minutes from now."""
    assert not Deadline.after(1).passed
    assert Deadline.after(0).passed


def test_a_case_is_measured_here(tmp_path: Path) -> None:
    """On the stand-in."""
    row = run_here(CASE, CountingCard(), tmp_path)  # type: ignore[arg-type]

    assert row.truth is not None
    assert row.truth.peak_allocated_bytes == 1536
    assert row.recording == ""


def test_a_traced_case_leaves_its_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by card and case, and noted in the row."""
    recording = Recording((), card="NVIDIA H200")
    monkeypatch.setattr(running, "recorded", lambda run, *_: (run(), recording))

    row = run_here(replace(CASE, traced=True), CountingCard(), tmp_path)  # type: ignore[arg-type]

    assert row.recording == f"h200_{CASE.name}.json.gz"
    assert (tmp_path / row.recording).is_file()


@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError])
def test_a_case_that_fails_says_why(kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and the next case can run."""

    def fail(case: Case, card: object) -> None:
        message = "CUDA out of memory.\nand much more"
        raise kind(message)

    monkeypatch.setattr(running, "measure", fail)

    assert run_here(CASE, CountingCard(), tmp_path).why_not == f"{kind.__name__}: CUDA out of memory."  # type: ignore[arg-type]


def own(monkeypatch: pytest.MonkeyPatch, ended: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Processes end like this; the command lines that were begun."""
    begun: list[list[str]] = []

    def run(line: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        begun.append(line)
        return ended

    monkeypatch.setattr(subprocess, "run", run)
    return begun


def test_a_process_of_its_own_answers_with_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line that it prints."""
    row = Row(CASE.name, truth=truth())
    begun = own(monkeypatch, subprocess.CompletedProcess([], 0, f"a warning\n{json.dumps(row.to_json())}\n", ""))

    assert in_own_process(CASE, tmp_path) == row
    assert begun[0][1:] == [str(running.COMMAND), "--case", CASE.name, "--recordings", str(tmp_path)]


def test_a_process_that_breaks_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status and its last line."""
    own(monkeypatch, subprocess.CompletedProcess([], 1, "", "Traceback\nKeyError: 'x'"))

    assert in_own_process(CASE, tmp_path).why_not == "its process ended with 1: KeyError: 'x'"


def test_a_process_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three minutes."""

    def hang(line: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(line, 180)

    monkeypatch.setattr(subprocess, "run", hang)

    assert "more than 180 s" in in_own_process(CASE, tmp_path).why_not


def test_a_case_that_asks_for_it_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in this process."""
    monkeypatch.setattr(running, "in_own_process", lambda case, _: Row(case.name, why_not="alone"))
    card = CountingCard()

    assert run_case(replace(CASE, alone=True), card, tmp_path).why_not == "alone"  # type: ignore[arg-type]
    assert card.cleared == 0


def test_a_card_that_cannot_be_cleared_makes_it_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some libraries keep memory for the life of a process."""
    monkeypatch.setattr(running, "in_own_process", lambda case, _: Row(case.name, why_not="alone"))

    assert run_case(CASE, CountingCard(leftover=512), tmp_path).why_not == "alone"  # type: ignore[arg-type]
    assert run_case(CASE, CountingCard(), tmp_path).truth is not None  # type: ignore[arg-type]
