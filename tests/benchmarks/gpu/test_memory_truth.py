"""The command: what it does with and without a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import limits, memory_truth
from benchmarks.gpu.card_facts import CardFacts
from benchmarks.gpu.cases import Case, grid
from benchmarks.gpu.estimates import Estimate
from benchmarks.gpu.limits import Limit
from benchmarks.gpu.memory_truth import NO_CARD, chosen, main
from benchmarks.gpu.rows import Row
from benchmarks.gpu.running import OUT_OF_TIME
from tests.benchmarks.gpu.standins import CountingCard, estimate, truth

FACTS = CardFacts("NVIDIA H200", 2**37, (9, 0), 132, 2**29, 2**25, 2**20, "2.11.0+cu130", 91900, "")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> CountingCard:
    """A stand-in in the place of a CUDA card; every case is predicted as 1000 B."""
    stand_in = CountingCard()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(memory_truth, "CudaCard", lambda: stand_in)
    monkeypatch.setattr(memory_truth, "card_facts", lambda _: FACTS)
    monkeypatch.setattr(memory_truth, "estimate", lambda *_: (estimate(1000), ""))
    monkeypatch.setattr(limits, "measured", lambda *_: [Limit("a case", 2**30, largest=100)])
    monkeypatch.setattr(limits, "predicted", lambda found, *_: [replace(one, predicted=99) for one in found])
    monkeypatch.setattr(memory_truth, "run_case", lambda case, *_: Row(case.name, truth=truth()))
    return stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where records go."""
    return tmp_path / "records"


def kept(folder: Path) -> tuple[dict[str, object], str]:
    """The record of the day, as data and as text."""
    (data,), (text,) = folder.glob("*.json"), folder.glob("*.md")
    return json.loads(data.read_text("utf-8")), text.read_text("utf-8")


def test_without_a_card_it_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and what works instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert main([]) == 2
    assert capsys.readouterr().err.splitlines() == [NO_CARD]


def test_the_cases_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """One name a line, and how many they are; no card is asked for."""
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [*(case.name for case in grid()), f"{len(grid())} cases"]


def test_parts_of_names_choose_cases() -> None:
    """Any of them is enough."""
    some = chosen("gpt,unet")

    assert {case.name[:3] for case in some} == {"gpt", "une"}
    assert chosen("") == grid()


def test_a_run_leaves_its_record(card: CountingCard, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Card, rows and summary as data; the report as text, with card and version of torch."""
    assert main(["--only", "linear1000", "--out", str(folder)]) == 0
    data, text = kept(folder)

    assert data["card"]["torch_version"] == "2.11.0+cu130"  # type: ignore[index]
    assert [row["case"] for row in data["rows"]] == [case.name for case in chosen("linear1000")]  # type: ignore[attr-defined]
    assert data["summary"]["error_median"] == 0  # type: ignore[index]
    assert "NVIDIA H200" in text
    assert "pass  median error 0.000%" in capsys.readouterr().out


def test_a_run_that_misses_what_is_promised_ends_with_1(
    card: CountingCard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its record names the miss."""
    monkeypatch.setattr(memory_truth, "estimate", lambda *_: (estimate(1200), ""))

    assert main(["--only", "linear1000", "--out", str(folder)]) == 1
    assert "misses:" in kept(folder)[1]


def test_when_the_time_is_up_the_rest_is_listed(card: CountingCard, folder: Path) -> None:
    """Nothing begins, everything says why."""
    assert main(["--minutes", "0", "--only", "linear1000", "--out", str(folder)]) == 0

    assert {row["why_not"] for row in kept(folder)[0]["rows"]} == {OUT_OF_TIME}  # type: ignore[attr-defined]


def test_one_case_is_printed_as_data(
    card: CountingCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the process that asked for it."""
    seen: list[Case] = []

    def run(case: Case, _card: object, _folder: Path) -> Row:
        seen.append(case)
        return Row(case.name, truth=truth())

    monkeypatch.setattr(memory_truth, "run_here", run)
    name = next(case.name for case in grid() if case.alone)

    assert main(["--case", name, "--recordings", str(tmp_path)]) == 0
    assert seen[0].name == name
    assert json.loads(capsys.readouterr().out)["truth"]["peak_allocated_bytes"] == 1000


def test_estimates_need_no_card(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They are printed one by one, for the card that was named."""
    asked: list[object] = []

    def predict(case: Case, gpu: object) -> tuple[Estimate | None, str]:
        asked.append(gpu)
        return (estimate(2**30), "") if case.precision == "fp32" else (None, "not that one")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(memory_truth, "estimate", predict)

    assert main(["--estimate-only", "--gpu", "T4", "--only", "linear1000"]) == 0
    printed = capsys.readouterr().out
    assert set(asked) == {"T4"}
    assert "1 GiB" in printed
    assert "not that one" in printed


def test_a_record_can_be_predicted_again(card: CountingCard, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurements stay, the predictions are new, in data and text; the head of the text stays too."""
    main(["--only", "linear1000", "--out", str(folder)])
    (path,) = folder.glob("*.json")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(memory_truth, "estimate", lambda *_: (estimate(1040), ""))

    assert main(["--against", str(path)]) == 1
    data, text = kept(folder)
    measured = [row for row in data["rows"] if row["truth"]]  # type: ignore[attr-defined]
    assert {row["truth"]["peak_allocated_bytes"] for row in measured} == {1000}
    assert data["summary"]["error_most"] == pytest.approx(0.04)  # type: ignore[index]
    assert text.startswith("# memory_truth, ")
    assert text.count("```") == 2
    assert "FAIL  median error 4.000%" in text


def test_a_whole_run_also_has_the_largest_micro_batches(card: CountingCard, folder: Path) -> None:
    """In data and text; a part of the grid goes without."""
    assert main(["--minutes", "0", "--out", str(folder)]) == 0
    data, text = kept(folder)

    assert data["limits"] == [limits.to_json(Limit("a case", 2**30, largest=100, predicted=99))]
    assert "pass  a case in 1 GiB: 100 samples ran, predicted 99" in text


def test_a_limit_that_does_not_hold_ends_with_1(
    card: CountingCard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the errors of the peaks are."""
    monkeypatch.setattr(limits, "predicted", lambda found, *_: [replace(one, predicted=101) for one in found])

    assert main(["--minutes", "0", "--out", str(folder)]) == 1


def test_a_prediction_is_made_for_the_card_that_measured() -> None:
    """Its total, its capability, and the context that was found."""
    assert (FACTS.card.total_bytes, FACTS.card.capability, FACTS.card.context_bytes) == (2**37, (9, 0), 2**29)


def test_the_facts_of_a_card_read_as_a_line() -> None:
    """Name, total, capability, versions, context and workspaces."""
    line = str(replace(FACTS, context_bytes=123))

    assert line.startswith("NVIDIA H200, 137,438,953,472 B, compute capability 9.0, torch 2.11.0+cu130")
    assert "context 123 B, cuBLAS workspace 33,554,432 B, cuBLASLt 1,048,576 B" in line


def test_an_emulated_card_is_named_as_such_in_its_record(card: CountingCard, folder: Path) -> None:
    """In the file's name, the data and the text; nothing is predicted yet."""
    assert main(["--emulated", "--only", "mlp,linear", "--out", str(folder)]) == 0
    figures, words = kept(folder)

    assert next(folder.glob("*.json")).stem.endswith("memory_truth_emulated_h200")
    assert figures["is_emulated"] is True
    assert "(emulated)" in words


def test_cases_with_workspaces_of_cudnn_are_left_to_real_cards(card: CountingCard, folder: Path) -> None:
    """They are 0 where the card is emulated."""
    assert main(["--emulated", "--only", "mlp_b64,resnet,lstm", "--out", str(folder)]) == 0
    figures, _ = kept(folder)
    rows = figures["rows"]

    assert isinstance(rows, list)
    assert {row["case"] for row in rows} == {case.name for case in chosen("mlp_b64")}


def test_an_emulated_record_is_predicted_again(card: CountingCard, folder: Path) -> None:
    """With the goals of an emulated card: one part in two thousand in the median."""
    main(["--emulated", "--only", "mlp_b64", "--out", str(folder)])
    main(["--against", str(next(folder.glob("*.json")))])
    _, words = kept(folder)

    assert "(at most 0.05%)" in words
    assert "peaks reserved above the range (at most 0)" in words
