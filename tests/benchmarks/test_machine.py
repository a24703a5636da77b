"""Records say what was measured where."""

import json
from pathlib import Path

import pytest

from benchmarks.measuring import machine


def test_a_record_holds_figures_report_and_kind_of_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON has the figures and the machine, the text has the report."""
    monkeypatch.setattr(machine, "RECORDS", tmp_path)
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/feeding.py", "--record"])

    figures, report = machine.record("feeding", {"rates": [1.0]}, "a table")

    kept = json.loads(figures.read_text("utf-8"))
    assert kept["rates"] == [1.0]
    assert kept["command"] == "python benchmarks/feeding.py --record"
    assert kept["machine"]["versions"]["torch"]
    assert "a table" in report.read_text("utf-8")


def test_the_machine_is_a_kind_and_not_a_name() -> None:
    """Cores, processor, system and versions, but no host name and no folder."""
    facts = machine.machine()

    assert facts["cores"] >= 1
    assert not {"node", "host", "hostname", "path", "user"} & facts.keys()


def test_the_command_of_a_benchmark_in_a_folder_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be copied from the record."""
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/gpu/memory_truth.py", "--minutes", "3"])

    assert machine.command() == "python benchmarks/gpu/memory_truth.py --minutes 3"


def test_a_record_can_go_to_another_folder(tmp_path: Path) -> None:
    """Which is made where it does not exist."""
    figures, report = machine.record("any", {}, "a table", tmp_path / "new" / "folder")

    assert figures.parent == report.parent == tmp_path / "new" / "folder"
