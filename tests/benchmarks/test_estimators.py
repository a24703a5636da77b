"""The scoreboard counts errors, misses and false "fits" as it says, and asks every tool about the same programs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from benchmarks import estimators
from benchmarks.measured import grid
from benchmarks.measured.catalogue import catalogue
from benchmarks.measured.program import Peak, measured_peaks
from benchmarks.measuring import scoreboard
from benchmarks.measuring.machine import ROOT
from benchmarks.measuring.scoreboard import NOT_JUDGED, OURS, Answer, answer_of, line_of, report_of
from benchmarks.rivals import environments
from benchmarks.rivals.answers import MARK, figures, none
from benchmarks.rivals.environments import RIVALS, Rival, answers_in

PEAK = Peak("program", "T4", 1000, 1200, "made up")
PEAKS = {PEAK.name: PEAK}


def said(
    allocated: int | None = None, least: int | None = None, most: int | None = None, tool: str = "other"
) -> Answer:
    """An answer about the one program."""
    return Answer(tool, PEAK.name, allocated, least, most, "" if allocated or most else "cannot")


# ---------------------------------------------------------------- errors


def test_an_error_has_a_sign():
    """Too little is below 0."""
    assert said(900).error(PEAK) == pytest.approx(-0.1)


def test_of_another_tool_the_nearer_figure_counts():
    """20 % off in tensors, exact in what the card holds."""
    assert said(800, 1200, 1200).error(PEAK) == 0


def test_of_ours_only_what_is_allocated_counts():
    """An exact range does not excuse it."""
    assert said(800, 1200, 1200, tool=OURS).error(PEAK) == pytest.approx(-0.2)


def test_misses_are_errors_above_five_percent():
    """Exactly 5 % is none."""
    assert [line_of("other", [said(figure)], PEAKS).misses for figure in (950, 949, 1050, 1051)] == [0, 1, 0, 1]


def test_mean_and_largest_are_over_what_was_answered():
    """What has no answer is counted and changes no mean."""
    other = Peak("second", "T4", 1000, 1200, "made up")
    line = line_of("other", [said(900), Answer("other", "second", reason="cannot")], {**PEAKS, "second": other})

    assert (line.asked, line.answered, line.mean, line.most) == (2, 1, pytest.approx(0.1), pytest.approx(-0.1))


def test_a_tool_without_answers_has_no_mean():
    """Unknown, not 0."""
    line = line_of("other", [said()], PEAKS)

    assert (line.answered, line.mean, line.middle, line.most) == (0, None, None, None)


def test_ours_is_shown_over_the_programs_of_each_tool():
    """A tool that answers easy programs only is compared on those."""
    peaks = {**PEAKS, "second": Peak("second", "T4", 1000, 1200, "made up")}
    answers = [said(900), said(980, tool=OURS), Answer(OURS, "second", 500), Answer("other", "second", reason="cannot")]

    assert line_of("other", answers, peaks).ours == pytest.approx(0.02)


# ---------------------------------------------------------------- fitting


@pytest.mark.parametrize(("figure", "counted"), [(991, (0, 0)), (990, (1, 0)), (901, (1, 0)), (900, (1, 1))])
def test_fits_is_false_on_cards_below_the_peak(figure: int, counted: tuple[int, int]):
    """Cards of 990 and 900 bytes cannot run what takes 1000."""
    assert line_of("other", [said(figure)], PEAKS).false_fits == counted


def test_the_upper_end_of_a_range_decides_on_fitting():
    """A low point with a high end lets nothing run that does not."""
    assert line_of(OURS, [said(900, 900, 1100, tool=OURS)], PEAKS).false_fits == (0, 0)


def test_the_lower_end_of_a_range_decides_on_refusing():
    """A card of 1320 bytes ran it with room left."""
    answers = [said(1000, 1320, 2000), said(1000, 1321, 2000)]

    assert [line_of("other", [answer], PEAKS).refused for answer in answers] == [0, 1]


def test_the_context_that_a_tool_names_is_taken_off():
    """What is left is for the allocator."""
    answer = answer_of("other", {"name": PEAK.name, **figures(800, 1300, 100)})

    assert (answer.allocated, answer.least, answer.most) == (800, 1200, 1200)


def test_no_answer_keeps_its_reason():
    """It is no figure of 0."""
    answer = answer_of("other", {"name": PEAK.name, **none("too old")})

    assert (answer.given, answer.reason) == (False, "too old")


# ---------------------------------------------------------------- the report


def test_the_report_says_what_no_card_has_judged():
    """Last, and plainly."""
    assert report_of(["other"], [said(900)], [PEAK]).splitlines()[-1] == NOT_JUDGED


def test_the_report_counts_reasons():
    """Each once, with how often."""
    answers = [Answer("other", name, reason="needs a GPU") for name in ("a", "b")]

    assert "  other, 2: needs a GPU" in report_of(["other"], answers, [PEAK]).splitlines()


def test_the_report_has_a_table_for_each_kind_of_peak():
    """Real, recorded, emulated."""
    peaks = [Peak(kind, "T4", 1, 1, "made up", kind) for kind in scoreboard.KINDS]
    lines = report_of(["other"], [], peaks).splitlines()

    assert [line for line in lines if " peaks " in line] == [f"1 peaks {title}" for title in scoreboard.KINDS.values()]


# ---------------------------------------------------------------- what is asked


def test_every_measured_peak_has_its_program():
    """Nothing is asked that was not run."""
    assert set(measured_peaks()) <= set(catalogue())


def test_every_peak_names_its_source():
    """With what it was measured under."""
    assert all("torch" in peak.source for peak in measured_peaks().values())


def test_the_grid_has_no_workspaces_of_cudnn():
    """No recurrent layers; convolutions only in 16 bits."""
    names = [case.name for case in grid.cases()]

    assert len(names) >= 30
    assert not [name for name in names if "lstm" in name or "gru" in name or "resnet" in name or "unet" in name]
    assert not [name for name in names if name.startswith("vit") and "fp32" in name]


def test_facts_travel_as_json():
    """Tools in other environments get plain values."""
    asked = [estimators.facts(program, "T4") for program in catalogue().values()]

    assert json.loads(json.dumps(asked))[0]["name"] == asked[0]["name"]


def test_answers_of_an_earlier_record_are_taken(tmp_path: Path):
    """Only the other tools' and only of the programs at hand."""
    kept = tmp_path / "record.json"
    old = [vars(said(1)), vars(said(2, tool=OURS)), vars(Answer("other", "gone", 3))]
    kept.write_text(json.dumps({"versions": {"other": "1.0"}, "answers": old}), "utf-8")

    assert estimators.others([PEAK], kept) == ([said(1)], {"other": "1.0"})


def test_a_program_that_kills_a_tool_is_that_tools_answer(monkeypatch: pytest.MonkeyPatch):
    """The questions behind it are still asked."""
    runs = []

    def run(_: Rival, questions: list[dict[str, str]]) -> tuple[list[str], str]:
        runs.append([question["name"] for question in questions])
        good = [question["name"] for question in questions if question["name"] != "bad"]
        before = good if "bad" not in runs[-1] else runs[-1][: runs[-1].index("bad")]
        return [MARK + json.dumps({"name": name, **figures(1)}) for name in before], "Boom"

    monkeypatch.setattr(environments.Rival, "_run", run)
    found = Rival("any", "any").ask([{"name": name} for name in ("first", "bad", "last")])

    assert runs == [["first", "bad", "last"], ["last"]]
    assert (found["bad"]["reason"], found["last"]["allocated"]) == ("it failed: Boom", 1)


def test_other_lines_of_a_tool_are_passed_over():
    """Warnings and tables."""
    assert answers_in(["│ 3 GB │", MARK + '{"name": "x"}', ""]) == [{"name": "x"}]


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_every_tool_has_its_adapter(rival: Rival):
    """A file that answers questions; the environment's folder is one that git ignores."""
    tree = ast.parse((ROOT / "benchmarks" / "rivals" / f"{rival.name}.py").read_text("utf-8"))

    assert "answer" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert environments.FOLDER.name.startswith(".venv")
