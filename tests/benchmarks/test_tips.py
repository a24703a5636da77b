"""The benchmark of the tips runs, and its verdict can be no."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.measuring.tip_rows import Row, measured
from benchmarks.tips import report

ROW = Row("mlp", "bf16", (90, 80, 100), (200, 95), (0.5, 1.0), (0.02, 0.015), "kept")


def test_a_tip_is_applied_measured_and_undone() -> None:
    """Predicted and measured of the same run, on a simulated card."""
    rows = list(measured("mnist_cnn", "virtual:2GiB"))

    assert "bf16" in [row.tip for row in rows]
    assert all(row.measured_bytes is not None and min(row.measured_bytes) > 0 for row in rows)


def test_every_peak_within_its_range_passes() -> None:
    """And is counted."""
    assert report([ROW], "2GiB").endswith("pass: 1 of 1 measured peaks lie within the predicted range")


def test_a_peak_outside_of_its_range_fails() -> None:
    """On either side."""
    rows = [ROW, replace(ROW, measured_bytes=(200, 101)), replace(ROW, measured_bytes=(200, 79))]

    assert "FAIL: 1 of 3" in report(rows, "2GiB")


def test_what_was_not_predicted_is_not_judged() -> None:
    """A tip that is for speed alone has no peak to be right about."""
    assert "1 of 1" in report([ROW, replace(ROW, predicted_bytes=None)], "2GiB")
