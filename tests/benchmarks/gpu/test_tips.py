"""The tips on a card: what can be known of the benchmark without one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.gpu.tips import NO_CARD, main, passed, report
from benchmarks.measuring.tip_rows import Row

ROW = Row("mlp", "bf16", (90, 80, 100), (200, 95), (0.5, 1.0), (0.02, 0.015), "kept")


def test_without_a_card_it_says_what_works(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And has an exit status of its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert main([]) == 2
    assert capsys.readouterr().err.strip() == NO_CARD


def test_both_within_their_ranges_pass() -> None:
    """Peak and time are counted on their own."""
    assert report([ROW], "a card").endswith(
        "pass: 1 of 1 peaks and 1 of 1 times lie within the range that was said before"
    )


@pytest.mark.parametrize("seconds", [(0.02, 0.009), (0.02, 0.021)])
def test_a_time_outside_of_its_range_fails(seconds: tuple[float, float]) -> None:
    """Faster than was said is wrong, too."""
    assert not passed([replace(ROW, measured_seconds=seconds)])


def test_nothing_said_is_no_pass() -> None:
    """An empty record proves nothing."""
    assert not passed([replace(ROW, predicted_bytes=None, expected_time=None)])
