"""The records of the operator sweep, predicted again, each card a third of the cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import operators as sweep
from benchmarks.gpu.operator_sweep import operators
from benchmarks.gpu.operator_sweep.exceptions import reason_for, unused
from benchmarks.gpu.operator_sweep.phases import SIGN_BYTES, Bytes, by_phase
from benchmarks.measuring.machine import RECORDS

CARDS = ("H200", "T4", "A100-80")


def record(card: str) -> sweep.Record:
    """What one card took."""
    return sweep.read(RECORDS / f"operators_{card}.json")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("card", CARDS)
def test_whatever_differs_has_a_name(card: str) -> None:
    """Every third operator; which, differs from card to card, so that each is compared once."""
    titles = list(record(card).cases)[CARDS.index(card) :: len(CARDS)]

    assert [str(found) for found in sweep.differences(record(card), titles) if not found.reason] == []


@pytest.mark.parametrize("card", CARDS)
def test_every_case_is_recorded(card: str) -> None:
    """And says on what: no card of flesh and blood has been asked yet."""
    assert set(record(card).cases) | set(record(card).refused) == set(operators())
    assert record(card).facts["emulated"] is True


def test_most_operators_have_no_exception() -> None:
    """A name that fits everything would let everything pass: two cases in three must be right as they are."""
    named = [title for title in record("H200").cases if reason_for(title)]

    assert len(named) < len(record("H200").cases) / 3


def test_an_unknown_difference_has_no_name() -> None:
    """Else the first test could not fail."""
    assert reason_for("gelu fp32") == ""
    assert len(unused(["gelu fp32"])) > 10


def test_phases_are_told_apart_by_signs() -> None:
    """Four signs: before, between, behind the first gradients, at the end."""
    sign = [SIGN_BYTES, -SIGN_BYTES]

    assert by_phase([5, *sign, 10, -4, *sign, 6, *sign, 20, -26, 3, *sign]) == Bytes(10, 6, 32, 9)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With what the card refused."""
    before = sweep.Record("T4", {"emulated": True}, {"gelu fp32": Bytes(1, 2, 3, 4)}, {"prod fp32": "no"})

    assert sweep.read(sweep.kept(before, tmp_path)) == before


def test_without_a_card_nothing_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, and what works instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert sweep.main([]) == 2
    assert "--against" in capsys.readouterr().err
