"""The benchmark of the estimates: its cases, its own measuring, and when ours passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.estimate import COLD_MORE_S, ERROR, HOST_BYTES, chosen, error, judge, line, measured
from benchmarks.measuring.calibration import calibration_seconds, loop
from benchmarks.measuring.memory_cases import CASES
from benchmarks.measuring.memory_run import OURS, THEIRS, Run, host_peak_bytes, run
from bigmodel_lab.models import MODELS
from bigmodel_lab.subjects import SUBJECTS

WITHIN = Run("gpt2 8×1024 fp32", OURS, 2.0, 2.5, [1.5, 1.9], 500 * 2**20, 15 * 2**30, [1, 2], 0.05)


def verdicts(one: Run) -> list[bool]:
    """One a limit: warm time, cold time, host memory."""
    return [passed for passed, _ in judge(one)]


def test_the_calibration_loop_is_the_same_every_day() -> None:
    """Another result would mean another loop, and times of other days could not be compared."""
    assert loop() == 346_689_377


def test_the_calibration_takes_some_milliseconds() -> None:
    """Long enough to be timed, short enough to be repeated."""
    assert 0.001 < calibration_seconds(2) < 5


def test_every_documented_model_is_a_case() -> None:
    """With its limit, at its documented settings."""
    assert {CASES[name].limit_s for name in MODELS.names()} == {0.5}


def test_large_cases_name_large_models() -> None:
    """Each has a batch of the size that its name tells."""
    large = [case for case in CASES.values() if case.model in SUBJECTS.names()]

    assert len(large) == 4
    for case in large:
        shape = case.batch()["input_ids"].shape
        assert "×".join(map(str, shape)) in case.name


def test_a_run_within_every_limit_passes() -> None:
    """Warm, cold and host."""
    assert verdicts(WITHIN) == [True, True, True]


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        (replace(WITHIN, seconds=[2.1], first_s=2.2), 0),
        (replace(WITHIN, first_s=1.5 + COLD_MORE_S + 0.1), 1),
        (replace(WITHIN, host_bytes=HOST_BYTES + 1), 2),
    ],
)
def test_each_limit_can_fail(changed: Run, failing: int) -> None:
    """Just beyond one limit, only that one fails."""
    assert verdicts(changed) == [number != failing for number in range(3)]


@pytest.mark.parametrize(("factor", "passed"), [(1 + 0.9 * ERROR, True), (1 - 1.1 * ERROR, False)])
def test_a_measured_peak_is_met_within_a_percent(factor: float, passed: bool) -> None:
    """Too much and too little count alike, and the line says which."""
    measured = CASES["gpt2 2×16 fp32"].measured_bytes
    one = replace(WITHIN, case="gpt2 2×16 fp32", peak_bytes=round(measured * factor))

    assert error(one) == pytest.approx(factor - 1, abs=1e-6)
    assert verdicts(one)[-1] is passed
    assert f"{factor - 1:+.2%}" in line(one)


def test_one_model_is_picked_by_name() -> None:
    """Each of its cases; an unknown one is refused."""
    assert [case.name for case in chosen("gpt2")] == ["gpt2 8×1024 fp32", "gpt2 2×16 fp32"]
    with pytest.raises(SystemExit, match="gpt7"):
        chosen("gpt7")


def test_host_memory_is_that_of_this_process() -> None:
    """More than an empty interpreter, and never less than before."""
    before = host_peak_bytes()

    assert before > 10 * 2**20
    assert host_peak_bytes() >= before


@pytest.mark.parametrize("tool", [OURS, THEIRS])
def test_both_tools_estimate_in_a_process_of_their_own(tool: str) -> None:
    """Weights, gradients and both states of Adam are in the peak of each; only ours knows of reserved memory."""
    one = run("mlp", tool, rounds=1, threads=1)

    assert one.peak_bytes > 4 * 4 * MODELS.get("mlp").parameters
    assert (one.reserved_range is not None) is (tool == OURS)
    assert min(one.imports_s, one.first_s, *one.seconds) > 0


def test_a_tool_that_fails_says_why() -> None:
    """What the process wrote last comes back."""
    with pytest.raises(RuntimeError, match="nobody"):
        run("mlp", "nobody", rounds=1, threads=1)


def test_a_case_that_breaks_has_failed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours breaking is a verdict; the other tool breaking is only told."""

    def one_breaks(case: str, tool: str, rounds: int, threads: int) -> Run:
        if tool == THEIRS or case == "mlp":
            raise RuntimeError(f"{tool} on {case}: no")
        return replace(WITHIN, case=case)

    monkeypatch.setattr("benchmarks.estimate.run", one_breaks)
    runs, judged = measured([CASES["mlp"], CASES["gpt2 8×1024 fp32"]], 1, 1)

    assert [one.case for one in runs] == ["gpt2 8×1024 fp32"]
    assert [passed for passed, _ in judged] == [False, True, True, True]
    assert f"{THEIRS} on mlp: no" in capsys.readouterr().out
