"""Largest micro-batches: the search, the cap, and what a prediction must not do."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import limits
from benchmarks.gpu.cases import Case
from benchmarks.gpu.limits import LIMITS, Limit, from_json, largest_that_runs, measured, predicted, to_json
from benchmarks.gpu.running import OUT_OF_TIME, Deadline
from benchmarks.gpu.shapes import MLP
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.cards import Card
from tests.benchmarks.gpu.standins import CountingCard

CARD = Card.exact("mine", 2**37, (9, 0), 2**29, "measured")
TINY = Case(MLP((5, 3)), 2)


@pytest.mark.parametrize("truth", [0, 1, 2, 3, 7, 8, 9, 100, 1000])
@pytest.mark.parametrize("start", [1, 8, 64])
def test_the_search_finds_the_largest(truth: int, start: int) -> None:
    """From any start, above or below."""
    assert largest_that_runs(lambda number: number <= truth, start) == truth


def test_the_search_tries_few_numbers() -> None:
    """Each one is a training on the card."""
    tried: list[int] = []

    def runs(number: int) -> bool:
        tried.append(number)
        return number <= 777

    largest_that_runs(runs, 64)
    assert len(tried) <= 15
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize(
    ("largest", "guess", "holds"),
    [(100, 100, True), (100, 95, True), (100, 94, False), (100, 101, False), (8, 7, True), (8, 6, False), (0, 0, True)],
)
def test_a_prediction_is_never_over_and_little_under(largest: int, guess: int, holds: bool) -> None:
    """By 5 %, or by one sample."""
    assert Limit("a", 1, largest, guess).holds is holds


def test_nothing_is_judged_where_one_is_missing() -> None:
    """Neither the truth nor the prediction alone."""
    assert Limit("a", 1, largest=5).holds is None
    assert Limit("a", 1, predicted=5).holds is None


def test_a_limit_reads_as_a_line() -> None:
    """Verdict, case, cap, both numbers, and why one is missing."""
    assert str(Limit("a", 2**30, 100, 101)) == "FAIL  a in 1 GiB: 100 samples ran, predicted 101"
    assert str(Limit("a", 2**30, why_not="too late")) == "–     a in 1 GiB: – samples ran, predicted – too late"


def test_a_limit_survives_its_record() -> None:
    """As data."""
    limit = Limit("a", 2**30, 100, 101, "x")

    assert from_json(json.loads(json.dumps(to_json(limit)))) == limit


def test_the_cap_is_set_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a share of the card's total, also when the case fails."""
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=2**34))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: shares.append(share))

    with pytest.raises(KeyError), limits.capped(CountingCard(), 2**32):  # type: ignore[arg-type]
        raise KeyError("any")
    assert shares == [0.25, 1.0]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card on which up to 5 samples of the one tiny case run."""

    def phases(case: Case, _device: str) -> list[str]:
        if case.samples > 5:
            message = "CUDA out of memory"
            raise torch.OutOfMemoryError(message)
        return []

    monkeypatch.setattr(limits, "LIMITS", ((TINY, 2**30),))
    monkeypatch.setattr(limits, "phases", phases)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=2**34))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *_: None)


def test_the_truth_is_found_by_running_out_of_memory(tight: None) -> None:
    """Each try from a cleared card."""
    card = CountingCard()

    assert measured(card, Deadline.after(1)) == [Limit(TINY.name, 2**30, largest=5)]  # type: ignore[arg-type]
    assert card.cleared == 5  # 2 and 4 run, 8 and 6 do not, 5 runs


def test_another_failure_is_told(tight: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not taken for a lack of memory."""

    def fail(case: Case, _device: str) -> None:
        message = "cuDNN error\nmore"
        raise RuntimeError(message)

    monkeypatch.setattr(limits, "phases", fail)

    assert measured(CountingCard(), Deadline.after(1))[0].why_not == "cuDNN error"  # type: ignore[arg-type]


def test_nothing_is_tried_after_the_deadline(tight: None) -> None:
    """And it says so."""
    assert [limit.why_not for limit in measured(CountingCard(), Deadline.after(0))] == [OUT_OF_TIME]  # type: ignore[arg-type]


def test_the_library_is_asked_for_exactly_the_cap(tight: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cap nothing is lost to a context, nor left free for one that is larger than usual."""
    asked: list[int] = []

    class Found:
        def max_micro_batch_in(self, cap_bytes: int) -> int:
            asked.append(cap_bytes)
            return 5

    monkeypatch.setattr(limits, "ask", lambda *_: Found())
    found = predicted([Limit(TINY.name, 2**30, 5), Limit("of an older grid", 1)], CARD, Deadline.after(1))

    assert found == [Limit(TINY.name, 2**30, 5, 5)]
    assert asked == [2**30]


def test_a_refused_prediction_says_why(tight: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for peaks."""

    def refuse(*_: object) -> None:
        message = "no"
        raise ConfigError(message)

    monkeypatch.setattr(limits, "ask", refuse)

    assert predicted([Limit(TINY.name, 2**30, 5)], CARD, Deadline.after(1))[0].why_not == "ConfigError: no"


def test_the_cases_differ_and_have_room_to_grow() -> None:
    """One name each, caps of a few GiB."""
    assert len({case.name for case, _ in LIMITS}) == len(LIMITS)
    assert all(2**30 <= cap <= 2**33 for _, cap in LIMITS)
    assert all(case.micro_batches == 1 for case, _ in LIMITS)
