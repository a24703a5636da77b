"""Questions about the machine: who is on the cards, what works here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bigmodel_lab as lab
from bigmodel_lab.runlog import RunLog, Status
from tests.api.test_control import until


def test_gpus_prints_cards_or_a_reason():
    """Without a card the table says why; it is never just empty."""
    table = lab.gpus()

    assert table.cards or table.reason
    assert repr(table) == table.render() != ""


def test_gpus_can_be_asked_from_within_a_notebook(monkeypatch: pytest.MonkeyPatch):
    """A live run of a notebook is known by its process, and its path reaches the table."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/train.ipynb")
    asked: dict[int, str] = {}

    def read(notebooks: dict[int, str]) -> None:
        asked.update(notebooks)

    monkeypatch.setattr("bigmodel_lab.api._machine.read_cards", read)
    log = RunLog.create("in a notebook")
    until(lambda: bool(lab.gpus() or asked), "registered")
    log.close(Status.STOPPED)

    assert list(asked.values()) == ["/home/me/train.ipynb"]


def test_gpus_is_plain_data():
    """The table can be written as JSON."""
    assert set(json.loads(json.dumps(lab.gpus().as_json()))) == {"cards", "reason"}


def test_doctor_looks_at_everything():
    """Every part of the machine has a finding with a verdict."""
    report = lab.doctor()
    subjects = {finding.subject for finding in report.findings}

    expected = {"front end", "live dashboard", "pause and stop", "NVIDIA driver", "PyTorch", "run folder"}
    assert subjects == expected
    assert all(finding.verdict in ("works", "limited", "missing") for finding in report.findings)


def test_doctor_names_the_run_folder(runs_dir: Path):
    """The folder is the one that `fit` writes to."""
    (finding,) = [f for f in lab.doctor().findings if f.subject == "run folder"]

    assert finding.found == str(runs_dir)


def test_doctor_prints_every_finding_with_its_remedy():
    """The report is read as text."""
    report = lab.doctor()
    shown = repr(report)

    assert all(finding.found in shown for finding in report.findings)
    assert all(finding.remedy in shown for finding in report.findings)


def test_doctor_does_not_hide_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder that cannot be written is found, with one command that mends it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIGMODEL_LAB_RUNS", str(tmp_path / "file" / "runs"))
    (finding,) = [f for f in lab.doctor().findings if f.subject == "run folder"]

    assert finding.verdict == "missing"
    assert "BIGMODEL_LAB_RUNS" in finding.remedy
