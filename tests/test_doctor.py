"""What the doctor says about machines that this one is not."""

from __future__ import annotations

import json
import sys

import pytest

from bigmodel_lab import _doctor
from bigmodel_lab._doctor import Finding, Report
from bigmodel_lab.errors import RunFolderError
from bigmodel_lab.samplers import Card, CardTable
from bigmodel_lab.widgets import FrontEnd

NO_CARD = CardTable((), "There is no NVIDIA driver here.")
ONE_CARD = CardTable((Card(0, "GPU-1", "NVIDIA T4"),))


class Machine:
    """Pretends: front end, cards, whether the browser answers, whether the bundle is there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.front("script", "terminal")
        self.cards(NO_CARD)
        self.bundle("")

    def front(self, kind, name, *, heard=None):
        """Where the code runs, and whether a widget is heard there."""
        front = FrontEnd(kind, name, thread_updates=True, reason="A test.")
        self._patch.setattr(_doctor, "detect", lambda: front)
        self._patch.setattr(_doctor, "probe_widget", lambda: heard)

    def cards(self, table):
        """What the driver tells."""
        self._patch.setattr(_doctor, "read_cards", lambda: table)

    def bundle(self, missing):
        """Why the browser code is missing, or nothing."""
        self._patch.setattr(_doctor, "bundle_missing", lambda: missing)


@pytest.fixture
def machine(monkeypatch) -> Machine:
    """A terminal on a machine without a card."""
    return Machine(monkeypatch)


def finding(subject: str) -> Finding:
    """What the doctor found about one subject."""
    return next(f for f in _doctor.examine().findings if f.subject == subject)


def test_a_widget_that_answers_works(machine):
    """Heard while the cell is busy: dashboard and buttons work, nothing to do."""
    machine.front("notebook", "jupyter", heard=True)

    assert (finding("live dashboard").verdict, finding("live dashboard").remedy) == ("works", "")
    assert "buttons" in finding("pause and stop").found


def test_a_silent_widget_is_limited_and_has_a_remedy(machine):
    """Not heard: pictures instead, and one thing to try."""
    machine.front("notebook", "jupyter", heard=False)

    assert finding("live dashboard").verdict == "limited"
    assert "anywidget" in finding("live dashboard").remedy


@pytest.mark.parametrize(("name", "advice"), [("vscode", "background=True"), ("colab", "■")])
def test_the_remedy_suits_the_front_end(machine, name, advice):
    """Where installing helps nothing, the advice is another way to work."""
    machine.front("notebook", name, heard=False)

    assert advice in finding("live dashboard").remedy


def test_without_a_notebook_nothing_is_probed(machine):
    """A terminal has text, and Interrupt works there."""
    machine.front("script", "terminal", heard=True)

    assert "text" in finding("live dashboard").found
    assert finding("pause and stop").verdict == "works"


def test_a_missing_bundle_is_named_first(machine):
    """Browser code that was not built is the reason, whatever the browser says."""
    machine.front("notebook", "jupyter", heard=True)
    machine.bundle("dashboard.js does not exist")

    assert finding("live dashboard").found == "dashboard.js does not exist"


def test_a_silent_notebook_still_takes_interrupt(machine):
    """Commands are limited to Interrupt and the terminal."""
    machine.front("notebook", "jupyter", heard=False)

    assert finding("pause and stop").verdict == "limited"
    assert "ctl" in finding("pause and stop").found


def test_no_card_is_said_with_its_reason(machine):
    """Without a driver the reason of the card table stands there."""
    assert (finding("NVIDIA driver").verdict, finding("NVIDIA driver").found) == ("limited", NO_CARD.reason)


def test_cards_are_named(machine):
    """With a driver the cards stand there."""
    machine.cards(ONE_CARD)

    assert (finding("NVIDIA driver").verdict, finding("NVIDIA driver").found) == ("works", "NVIDIA T4")


def test_a_cpu_build_beside_a_card_is_a_gap(machine, monkeypatch):
    """A PyTorch without CUDA on a machine with a card names the command that mends it."""
    import torch

    monkeypatch.setattr(torch.version, "cuda", None)
    machine.cards(ONE_CARD)

    assert finding("PyTorch").verdict == "limited"
    assert finding("PyTorch").remedy.startswith("pip install")


def test_a_driver_that_is_too_old_is_told(machine, monkeypatch):
    """CUDA build and card, but CUDA cannot be used: the driver is the suspect."""
    import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine.cards(ONE_CARD)

    assert "driver is too old" in finding("PyTorch").found


def test_a_missing_torch_names_the_install_line(machine, monkeypatch):
    """Without PyTorch the extra that brings it stands there."""
    monkeypatch.setattr(_doctor, "find_spec", lambda name: None if name == "torch" else object())

    assert finding("PyTorch").remedy == 'pip install "bigmodel_lab[train]"'


def test_an_unwritable_run_folder_names_the_variable(machine, monkeypatch):
    """Runs that have no place to go are a gap with a remedy."""

    def refuse():
        raise RunFolderError("The folder /nowhere cannot be written.")

    monkeypatch.setattr(_doctor, "writable_runs_folder", refuse)

    assert finding("run folder").verdict == "missing"
    assert "BIGMODEL_LAB_RUNS" in finding("run folder").remedy


def test_each_remedy_stands_below_its_finding():
    """The text has one line a finding and one more for what to do."""
    report = Report((Finding("a", "works", "fine"), Finding("long name", "missing", "gone", "pip install it")))

    assert report.render().splitlines() == [
        "✓ a          fine",
        "✗ long name  gone",
        "             → pip install it",
    ]


def test_the_report_is_plain_data(machine):
    """For --json every finding is a mapping of texts."""
    plain = _doctor.examine().as_json()

    assert json.loads(json.dumps(plain)) == plain
    assert {"subject", "verdict", "found", "remedy"} == set(plain[0])


def test_asking_costs_no_torch_where_there_is_none(machine, monkeypatch):
    """The doctor does not fail on a machine without PyTorch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(_doctor, "find_spec", lambda _: None)

    assert finding("PyTorch").verdict == "missing"
