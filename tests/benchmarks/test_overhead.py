"""The gates that hold on any machine, and the arithmetic of the comparison."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.measuring import own_cost as module
from benchmarks.measuring.kernel import CellFailedError, Kernel
from benchmarks.measuring.own_cost import LIMIT_US, REFERENCE_SECONDS, OwnCost, own_cost
from benchmarks.measuring.pairs import Comparison, Cost, Pair, compare, interval
from benchmarks.measuring.rows import ROWS, Measured, Row, measure
from benchmarks.overhead import chosen, judge, with_row

NOW = ("2026-01-01T00:00+00:00", 1.0)
PLAIN = Cost(wall_us=100.0, thread_us=90.0, process_us=90.0, bytes=0.0, frames=0)


def comparison(*ratios: float) -> Comparison:
    """Pairs whose tool takes these times as long as the base."""
    return compare([Pair(PLAIN, replace(PLAIN, wall_us=100.0 * r, frames=1)) for r in ratios])


@pytest.mark.alone
@pytest.mark.parametrize("loop", ["fit", "watch"])
def test_the_librarys_own_cpu_at_each_step_is_within_its_limit(loop: str) -> None:
    """The trainer's loop and ``watch`` add at most 5 µs of CPU, on a slower machine as much more as plain Python takes there."""
    cost = own_cost(loop, rounds=15, steps=2000, patience=8)

    assert cost.added_us <= cost.limit_us


@pytest.mark.parametrize("loop", ["fit", "watch"])
def test_ours_runs_with_a_live_dashboard(loop: str) -> None:
    """A row makes its pairs in a kernel of its own, and the dashboard sends while the block runs."""
    measured = measure(Row(loop), "nano", 1)

    assert measured.comparison.pairs == 1
    assert measured.comparison.frames > 0


def test_an_error_in_a_cell_comes_with_its_traceback(kernel: Kernel) -> None:
    """What a loop raises in the kernel is told here."""
    with pytest.raises(CellFailedError, match="ZeroDivisionError"):
        kernel.run("result = 1 / 0")


def test_a_comparison_is_the_median_of_paired_ratios() -> None:
    """One wild pair does not move the ratio, but is seen in the spread."""
    c = comparison(1.0, 1.1, 1.2, 1.3, 9.0)

    assert c.ratio == pytest.approx(1.2)
    assert (c.ratio_least, c.ratio_most) == (pytest.approx(1.0), pytest.approx(9.0))
    assert c.added_wall_us == pytest.approx(20.0)


def test_the_interval_surrounds_the_median_and_narrows_with_pairs() -> None:
    """More pairs from the same spread say it more surely."""
    drawn = np.random.default_rng(3).normal(1.0, 0.1, 400)
    few, many = interval(drawn[:20]), interval(drawn)

    assert few[0] <= np.median(drawn[:20]) <= few[1]
    assert many[1] - many[0] < few[1] - few[0]


def test_ours_passes_where_the_interval_reaches_down_to_the_limit() -> None:
    """A spread that includes 1.02 passes, one that lies above it fails."""
    near = Measured("nano", Row("fit"), comparison(1.0, 1.01, 1.05), *NOW)
    far = Measured("nano", Row("fit"), comparison(1.1, 1.11, 1.12), *NOW)

    assert [[passed for passed, _ in judge([m], [])] for m in (near, far)] == [[True, True], [False, True]]


def test_fit_has_to_be_faster_than_the_loop_of_the_document() -> None:
    """Against the DataLoader loop, an interval that reaches 1 fails."""
    row = Row("fit", base="dataloader")
    verdicts = [
        judge([Measured("simple_cnn", row, c, *NOW)], [])[0][0] for c in (comparison(0.8, 0.9), comparison(0.8, 1.1))
    ]

    assert verdicts == [True, False]


def test_a_dashboard_that_sent_nothing_fails() -> None:
    """A fast run without its dashboard proves nothing."""
    silent = compare([Pair(PLAIN, PLAIN)])

    assert [passed for passed, _ in judge([Measured("nano", Row("watch"), silent, *NOW)], [])] == [True, False]


def test_own_cost_beyond_the_limit_fails() -> None:
    """The gate is what the library adds, not how long the step takes."""
    verdicts = judge([], [OwnCost("fit", 10.0, 14.9), OwnCost("watch", 10.0, 15.1)])

    assert [passed for passed, _ in verdicts] == [True, False]


@pytest.mark.parametrize(("slowness", "limit"), [(0.5, LIMIT_US), (1.0, LIMIT_US), (1.5, 1.5 * LIMIT_US)])
def test_the_limit_follows_a_slow_machine_only(slowness: float, limit: float) -> None:
    """A fast one keeps the limit of the records."""
    cost = OwnCost("fit", 1.0, 2.0, calibration_seconds=slowness * REFERENCE_SECONDS)

    assert cost.limit_us == pytest.approx(limit)


@pytest.mark.parametrize("recorded_us", [3.1, 2.9], ids=["fit", "watch"])
@pytest.mark.parametrize("slowness", [0.9, 1.0, 1.3, 2.0])
def test_twice_the_recorded_cost_fails_on_any_machine(slowness: float, recorded_us: float) -> None:
    """A slow hour hides no regression: what takes twice as long takes that there as well."""
    bare = 2.7 * slowness
    once, twice = (
        OwnCost("any", bare, bare + n * recorded_us * slowness, slowness * REFERENCE_SECONDS) for n in (1, 2)
    )

    assert [passed for passed, _ in judge([], [once, twice])] == [True, False]


@pytest.mark.parametrize(("added_us", "attempts"), [(2.0, 1), (2 * LIMIT_US, 3)])
def test_patience_ends_when_the_limit_is_kept_or_at_last(
    added_us: float, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps the limit is measured once; what never does is measured as often as allowed, and is over it then."""
    calls: list[int] = []
    monkeypatch.setattr(module, "_BREAK_SECONDS", 0.0)
    monkeypatch.setattr(module, "_calibration", lambda: REFERENCE_SECONDS)
    monkeypatch.setattr(module.empty_step, "bare", lambda steps, _: 1.0)
    monkeypatch.setitem(module._LOOPS, "fit", lambda steps, _: calls.append(steps) or 1.0 + added_us)

    cost = own_cost("fit", rounds=2, patience=3)

    assert len(calls) == 2 * attempts
    assert (cost.added_us <= cost.limit_us) is (attempts == 1)


def test_rows_are_chosen_by_loop_and_workload() -> None:
    """``--only`` and ``--workloads`` cut the table down; nothing given takes all of it."""
    assert [(row.loop, row.base, place) for row, place in chosen("fit", "simple_cnn")] == [
        ("fit", "bare", "simple_cnn"),
        ("fit", "dataloader", "simple_cnn"),
    ]
    assert len(chosen("", "")) == 22


def test_a_row_measured_again_takes_the_place_of_the_older() -> None:
    """Other rows stay, in the order in which all rows are listed."""
    old, other = Measured("mlp", ROWS[1], comparison(2.0), *NOW), Measured("nano", ROWS[0], comparison(1.0), *NOW)
    new = Measured("mlp", ROWS[1], comparison(1.5), *NOW)

    assert with_row([old, other], new) == [other, new]


def test_a_row_comes_back_from_its_record() -> None:
    """What was kept is compared with as it was measured."""
    row = Measured("nano", ROWS[2], comparison(1.0, 1.2), *NOW)

    assert Measured.from_json(json.loads(json.dumps(asdict(row)))) == row
