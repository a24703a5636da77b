"""The benchmark of batch finders counts what tools really did, and its goals hold for ours."""

from __future__ import annotations

import random

import pytest
import torch

from benchmarks.batch_finders import JITTERS, MAXIMA, Searched, judged, report_of, searched
from benchmarks.finders import accelerate_decorator, lightning_power, ours
from benchmarks.finders.emulated import CAPACITY_BYTES, EmulatedCard


@pytest.mark.parametrize("maximum", MAXIMA)
def test_ours_reaches_the_goals(maximum: int) -> None:
    """Two probes, two trials, no error, within 1 % or one sample, never above, and only what ran."""
    assert searched("ours", maximum, JITTERS[0], seeds=40).passed


def test_the_maximum_of_an_emulated_card_always_runs() -> None:
    """A thousand steps of the largest size fit, whatever the jitter."""
    card = EmulatedCard.with_maximum(1500, 0.005, seed=3)

    assert max(card.step(1500) for _ in range(1000)) <= CAPACITY_BYTES


def test_a_size_above_the_maximum_fails_in_the_long_run() -> None:
    """Of many steps one sample larger some do not fit when the jitter is small."""
    card = EmulatedCard.with_maximum(100, 0.0001, seed=3)

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        [card.step(101) for _ in range(1000)]


def test_accelerate_stays_at_its_start() -> None:
    """It never grows: what runs at once is the answer."""
    card = EmulatedCard.with_maximum(1000, 0.002, seed=0)

    assert (accelerate_decorator.find(card), card.runs) == (128, [128])


def test_accelerate_goes_down_by_tenths() -> None:
    """From 128 to a limit of 50 it runs the function many times."""
    card = EmulatedCard.with_maximum(50, 0.002, seed=0)
    accelerate_decorator.find(card)

    assert (len(card.runs), card.out_of_memory) == (10, 9)


@pytest.mark.slow
def test_lightning_doubles_until_it_fails() -> None:
    """Its runs are counted one a trial, and at least one fails by design."""
    card = EmulatedCard.with_maximum(50, 0.002, seed=0)

    assert (lightning_power.find(card), card.runs, card.out_of_memory) == (32, [2, 4, 8, 16, 32, 64], 1)


def test_the_report_has_a_verdict() -> None:
    """A row a search, and whether ours passed."""
    rows = [searched("ours", 50, JITTERS[0], seeds=2)]

    assert report_of(rows).splitlines()[-1].startswith("pass")


def test_an_answer_above_the_maximum_fails_the_verdict() -> None:
    """One search in many that ends above is enough."""
    row = Searched("bigmodel_lab", 50, JITTERS[0], 2, 3, 3, 0, 50, 51, 0.0, 2, 1, 0)

    assert not judged([row])[0].passed


def test_ours_is_judged_at_the_smaller_jitter_alone() -> None:
    """Rows of other tools and of the larger jitter are shown, not judged."""
    card = EmulatedCard(1e9, 0, 1e6, 0.0, random.Random(0))
    ours.find(card)

    assert [row.jitter for row in judged([searched("ours", 50, jitter, seeds=1) for jitter in JITTERS])] == [0.002]
