"""The answer of an estimate, from a trace and its replay."""

from __future__ import annotations

import pytest
import torch

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._estimate import MemoryEstimate, estimate_of
from bigmodel_lab.memory.cards import card
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.estimate.plans import Blocks, plan

WEIGHTS = sum(p.numel() for p in Blocks().parameters())
SETTINGS = AllocatorSettings()


@pytest.fixture(scope="module")
def small() -> MemoryEstimate:
    """Eight samples of the small model on a T4."""
    return estimate_of(plan(), card("T4"), SETTINGS)


@pytest.fixture(scope="module")
def without_card() -> MemoryEstimate:
    """The same, about no card."""
    return estimate_of(plan(), None, SETTINGS)


def test_categories_add_up_to_the_peak(small: MemoryEstimate) -> None:
    """To the byte, rounding of blocks included."""
    assert sum(small.by_category.values()) == small.peak_allocated_bytes


def test_modules_add_up_to_the_peak(small: MemoryEstimate) -> None:
    """Too."""
    assert sum(small.by_module.values()) == small.peak_allocated_bytes


def test_categories_are_what_was_counted_by_hand(small: MemoryEstimate) -> None:
    """Twelve tensors of weights, each rounded up to 512 bytes; AdamW holds two more of each."""
    rounded = sum(-(-4 * p.numel() // 512) * 512 for p in Blocks().parameters())

    assert small.by_category["parameter"] == rounded
    assert small.by_category["gradient"] == rounded
    assert small.by_category["optimizer_state"] == 2 * rounded


def test_allocated_is_at_most_reserved(small: MemoryEstimate) -> None:
    """And reserved lies in its range."""
    least, most = small.reserved_range

    assert small.peak_allocated_bytes <= small.peak_reserved_bytes
    assert least <= small.peak_reserved_bytes <= most


def test_the_device_holds_the_context_besides(small: MemoryEstimate, without_card: MemoryEstimate) -> None:
    """Of that card; unknown without one."""
    assert small.device_bytes == small.peak_reserved_bytes + card("T4").context_bytes
    assert without_card.device_bytes is None


def test_the_moment_of_the_peak(small: MemoryEstimate) -> None:
    """AdamW's temporary in the first or second step; the ten largest, workspaces among them, in order."""
    moment = small.moment_of_peak
    sizes = [a.bytes for a in moment.largest]

    assert moment.phase == "optimizer"
    assert moment.step in {0, 1}
    assert len(sizes) == 10
    assert sizes == sorted(sizes, reverse=True)
    assert f"step {moment.step + 1}" in str(moment)


def test_it_fits_the_card_that_was_asked_about(small: MemoryEstimate) -> None:
    """And can be asked about others, and about what other processes hold."""
    assert small.fits().card.name == "T4"
    assert small.fits("24GiB").verdict == "fits"
    assert small.fits(others_bytes=card("T4").most_total.bytes).verdict == "does not fit"


def test_without_a_card_one_must_be_named(without_card: MemoryEstimate) -> None:
    """The message shows how."""
    assert without_card.fits("T4").verdict == "fits"
    for ask in (without_card.fits, without_card.max_micro_batch_size):
        with pytest.raises(ConfigError, match=r"Which card.*24GiB"):
            ask()


def test_the_largest_micro_batch_of_a_card(without_card: MemoryEstimate) -> None:
    """More on a larger one, none beside others who hold everything."""
    small_card, large_card = (without_card.max_micro_batch_size(f"{size}GiB") for size in (1, 2))
    total = card("1GiB").total_bytes

    assert 0 < small_card < large_card
    assert without_card.max_micro_batch_size("1GiB", others_bytes=total) == 0


def test_it_can_be_asked_again_with_a_change(small: MemoryEstimate) -> None:
    """Twice the samples, another format, another optimizer; the card stays."""
    larger = small.again(micro_batch_size=4096)
    narrow = larger.again(precision="bf16")
    plain = small.again(optimizer="sgd")

    assert (larger.micro_batch_size, narrow.precision) == (4096, "bf16")
    assert narrow.peak_allocated_bytes < larger.peak_allocated_bytes
    assert larger.card is small.card
    assert "optimizer_state" not in plain.by_category


def test_a_scaled_estimate_is_the_traced_one(small: MemoryEstimate) -> None:
    """The slider's answer, without a trace of its own, to the byte."""
    assert small.scaled(50).peak_allocated_bytes == small.again(micro_batch_size=50).peak_allocated_bytes
    assert small.scaled(50).micro_batch_size == 50


def test_it_says_that_it_is_an_estimate(small: MemoryEstimate) -> None:
    """In one line, with the range of the reserved memory."""
    assert "(estimate)" in repr(small)
    assert "8 samples" in repr(small)


def test_notes_are_those_of_the_trace() -> None:
    """Here of a number that the step reads."""

    def step(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = model(x).sum()
        return loss * float(loss.detach())

    assert len(estimate_of(plan(step=step), None, SETTINGS).notes) == 1


def test_the_settings_of_the_allocator_reach_the_replay() -> None:
    """Blocks rounded to powers of two are larger."""
    rounded = estimate_of(plan(), None, AllocatorSettings.parse("roundup_power2_divisions:4"))

    assert rounded.peak_allocated_bytes > estimate_of(plan(), None, SETTINGS).peak_allocated_bytes
    assert WEIGHTS > 0


@pytest.mark.parametrize("gpu", ["1GiB", "2GiB"])
def test_the_largest_micro_batch_is_the_largest_that_is_said_to_fit(without_card: MemoryEstimate, gpu: str) -> None:
    """One more is no "fits" any longer."""
    largest = without_card.max_micro_batch_size(gpu)
    verdicts = [without_card.again(micro_batch_size=size).fits(gpu).verdict for size in (largest, largest + 1)]

    assert [verdict == "fits" for verdict in verdicts] == [True, False]
