"""The benchmark of the tips runs, and its verdict can be no."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.tips import Row, measured, report

ROW = Row("mlp", "bf16", 90, 80, 100, 200, 95, "kept")


def test_a_tip_is_applied_measured_and_undone() -> None:
    """Predicted and measured of the same run, on a simulated card."""
    rows = list(measured("mnist_cnn", "2GiB"))

    assert "bf16" in [row.tip for row in rows]
    assert all(row.before_bytes > 0 and row.after_bytes > 0 for row in rows)


def test_every_peak_within_its_range_passes() -> None:
    """And is counted."""
    assert report([ROW], "2GiB").endswith("pass: 1 of 1 measured peaks lie within the predicted range")


def test_a_peak_outside_of_its_range_fails() -> None:
    """On either side."""
    assert "FAIL: 1 of 3" in report([ROW, replace(ROW, after_bytes=101), replace(ROW, after_bytes=79)], "2GiB")
