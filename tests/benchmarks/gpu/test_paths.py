"""The command that runs the library's CUDA code, without a card."""

from __future__ import annotations

import inspect
import sys
import time
from importlib import import_module

import pytest

from benchmarks.gpu import paths
from benchmarks.gpu.path_kinds import tips
from benchmarks.gpu.path_kinds.base import Path
from bigmodel_lab.tips import TIPS


def fine() -> str:
    """As a path that is as it must be."""
    return "everything seen"


def fails() -> str:
    """As a path whose check fails."""
    raise AssertionError("it is not so")


def sleeps() -> str:
    """As a path that never ends."""
    time.sleep(60)
    return "too late"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if PyTorch found one."""
    monkeypatch.setattr(paths.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(paths.torch.cuda, "device_count", lambda: 1)


def test_without_a_card_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2."""
    monkeypatch.setattr(paths.torch.cuda, "is_available", lambda: False)

    assert paths.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("check", "status", "line"),
    [
        (fine, 0, "pass"),
        (fails, 1, "AssertionError: it is not so"),
        (sleeps, 1, "took more than 1 s"),
        (sys.exit, 1, "FAIL"),
    ],
)
def test_a_path_passes_or_fails_with_why(
    check: object, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own: what fails, hangs or ends there ends nothing here."""
    assert paths.main([], (Path("one", check, seconds=1),)) == status
    assert line in capsys.readouterr().out


@pytest.mark.usefixtures("card")
def test_a_path_whose_packages_are_missing_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, and nothing that passed is no pass either."""
    assert paths.main([], (Path("one", str, needs=("no_such_package",)),)) == 1
    assert "needs no_such_package" in capsys.readouterr().out


def test_names_are_unique() -> None:
    """Each can be run alone, by its name."""
    names = [path.name for path in paths.PATHS]

    assert len(names) == len(set(names))


def test_each_tip_that_a_click_carries_out_has_a_path() -> None:
    """Those whose file fills ``change``, itself or through what formats share."""
    sources = {name: inspect.getsource(import_module(f"bigmodel_lab.tips.{name}")) for name in TIPS.names()}
    by_click = {name for name, source in sources.items() if "change=" in source or "_mixed_precision" in source}

    assert by_click == set(tips.CHANGES)
