"""Programs whose recordings are kept."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import allocator_programs
from benchmarks.gpu.allocator_programs import main, programs
from bigmodel_lab.memory.recording import read_recording
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.memory.recorded import FOLDER


def test_settings_are_those_of_pytorch() -> None:
    """Each can be simulated."""
    assert [str(AllocatorSettings.parse(program.settings)) for program in programs()]


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_each_program_has_its_recording(program: allocator_programs.Program) -> None:
    """Made under its settings."""
    assert read_recording(FOLDER / f"emulated_{program.name}.json.gz").settings == program.settings


def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And ends with the status for that."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert main([]) == 2
    assert "finds none here" in capsys.readouterr().out


def test_the_list_needs_no_card(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a program."""
    assert main(["--list", "--only", "growing"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == sum("growing" in program.name for program in programs())
