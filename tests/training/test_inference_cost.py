"""Time and memory of an answer, against the batch size."""

from __future__ import annotations

import types

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.training import inference_cost
from bigmodel_lab.training.inference_cost import BatchCost, InferenceCost, measure
from tests.training.fakes import tiny_model


class Watched(nn.Module):
    """The tiny model, which notes what it is given; above ``most`` samples its memory is full."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.inner = tiny_model()
        self.most = most
        self.seen: list[tuple[int, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        """The tiny model's scores."""
        self.seen.append((len(x), self.training, torch.is_inference_mode_enabled()))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("full")
        return self.inner(x)


def test_each_batch_size_has_its_row(make):
    """In the order asked for; latencies are ordered, and throughput belongs to the median."""
    cost = measure(make(), (8, 1), 0.01)

    assert [batch.batch_size for batch in cost.batches] == [8, 1]
    for batch in cost.batches:
        assert 0 < batch.median_seconds <= batch.p95_seconds
        assert batch.samples_per_second == batch.batch_size / batch.median_seconds


def test_every_size_is_measured_often_enough(make):
    """However slow the model is, there are twenty passes behind a median."""
    assert measure(make(), (2,), 0.0).batches[0].passes == 20


def test_warm_up_is_not_counted(make):
    """The model computes more passes than are measured."""
    model = Watched()
    cost = measure(make(model=model), (3,), 0.0)

    assert sum(1 for size, *_ in model.seen if size == 3) >= cost.batches[0].passes + 5


def test_passes_are_inference(make):
    """No dropout, no graph for a backward pass."""
    model = Watched()
    measure(make(model=model), (3,), 0.0)

    assert {(training, inference) for size, training, inference in model.seen if size == 3} == {(False, True)}


def test_more_samples_than_there_are_repeat(make):
    """81 training samples can still be asked about in a batch of 200."""
    assert measure(make(), (200,), 0.0).batches[0].batch_size == 200


def test_a_batch_that_does_not_fit_is_unknown_and_the_others_stay(make):
    """Too large is a result too, and no error."""
    small, large = measure(make(model=Watched(most=8)), (4, 16), 0.0).batches

    assert small.median_seconds is not None
    assert (large.median_seconds, large.samples_per_second) == (None, None)


def test_memory_of_a_cpu_is_unknown_with_a_reason(make):
    """None rather than 0, and the note says why."""
    cost = measure(make(), (1,), 0.0)

    assert cost.batches[0].peak_bytes is None
    assert any("on CUDA only, not on cpu" in note for note in cost.notes)


@pytest.mark.parametrize("sizes", [8, (), (0,), (1, 2.5), (True,)])
def test_batch_sizes_that_cannot_be_are_refused(make, sizes):
    """The message shows what came and what is allowed."""
    with pytest.raises(ConfigError, match=r"whole numbers from 1, such as \(1, 8, 64\)"):
        measure(make(), sizes, 0.0)


def test_the_table_leaves_out_memory_that_nobody_knows():
    """On a CPU there are four columns, on a card six."""
    there = BatchCost(8, 0.002, 0.003, 20, 2**30, 2**20)
    unknown = BatchCost(8, 0.002, 0.003, 20, None, None)
    tables = [InferenceCost("mlp", "cpu", "fp32", (row,), ()).table() for row in (unknown, there)]

    assert [len(table.heads) for table in tables] == [4, 6]
    assert tables[0].rows == (("8", "2 ms", "3 ms", "4,000 samples/s"),)
    assert tables[1].rows[0][4:] == ("1 GiB", "1 MiB")


def test_the_table_says_what_does_not_fit():
    """In words, with dashes for the rest."""
    table = InferenceCost("mlp", "cuda:0", "fp32", (BatchCost(8, None, None, 0, None, None),), ()).table()

    assert table.rows == (("8", "does not fit", "–", "–"),)


def test_it_shows_itself_in_a_terminal_and_in_a_notebook():
    """Title, rows and notes."""
    cost = InferenceCost("mlp", "cpu", "fp32", (BatchCost(8, 0.002, 0.003, 20, None, None),), ("A note.",))

    assert "mlp on cpu, fp32" in repr(cost)
    assert "A note." in repr(cost)
    assert "<p>A note.</p>" in cost._repr_html_()


# the peak counters of a card, on a card of this test's own


class Counters:
    """PyTorch's counters of allocated memory: they only know a peak since their last reset."""

    def __init__(self, allocated: int, peak: int, reserved: int) -> None:
        self.allocated, self.peak, self.reserved = allocated, peak, reserved

    def empty(self, size: int, **_: object) -> None:
        """Allocate for a moment."""
        self.peak = max(self.peak, self.allocated + size)


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    """A card with 1 KiB in use now, 8 KiB at its peak, and 16 KiB held by PyTorch."""
    card = Counters(1024, 8192, 16384)
    cuda = types.SimpleNamespace(
        max_memory_allocated=lambda _: card.peak,
        memory_allocated=lambda _: card.allocated,
        memory_reserved=lambda _: card.reserved,
        reset_peak_memory_stats=lambda _: setattr(card, "peak", card.allocated),
    )
    monkeypatch.setattr(inference_cost.torch, "cuda", cuda)
    monkeypatch.setattr(inference_cost.torch, "empty", card.empty)
    return card


def test_the_persons_peak_is_put_back(counters: Counters):
    """After the measurement the counter stands where it stood, and the notes say so."""
    with inference_cost._peaks_kept("cuda:0") as notes:
        counters.peak = counters.allocated

    assert counters.peak == 8192
    assert "was put back" in notes[0]


def test_a_peak_that_cannot_be_put_back_is_told(counters: Counters):
    """More memory of the card than PyTorch holds is not taken for that; the note tells the number."""
    counters.reserved = 4096
    with inference_cost._peaks_kept("cuda:0") as notes:
        counters.peak = counters.allocated

    assert counters.peak == 1024
    assert "8 KiB" in notes[0]


def test_a_higher_peak_of_the_measurement_stays(counters: Counters):
    """What was measured was higher than before: there is nothing to put back."""
    with inference_cost._peaks_kept("cuda:0") as notes:
        counters.peak = 9000

    assert counters.peak == 9000
    assert len(notes) == 1


def test_memory_is_measured_from_what_was_allocated_before(counters: Counters):
    """A new peak begins at the pass."""
    assert inference_cost._start_peak(torch.device("cuda:0")) == 1024
    assert counters.peak == 1024


def test_a_card_that_is_full_keeps_its_peak_lost(counters: Counters, monkeypatch: pytest.MonkeyPatch):
    """When nothing can be allocated, the note tells the number instead of an error."""

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(inference_cost.torch, "empty", full)
    with inference_cost._peaks_kept("cuda:0") as notes:
        counters.peak = counters.allocated

    assert "8 KiB" in notes[0]


def test_a_cpu_has_no_counters():
    """Nothing is reset, so nothing is said."""
    with inference_cost._peaks_kept("cpu") as notes:
        assert inference_cost._start_peak(torch.device("cpu")) is None

    assert notes == []


def test_the_median_is_of_the_passes(make, monkeypatch: pytest.MonkeyPatch):
    """Nineteen passes of a millisecond and one of a second: the median does not feel it, the mean would."""
    monkeypatch.setattr(inference_cost, "_times", lambda *_: [0.001] * 19 + [1.0])
    (batch,) = measure(make(), (10,), 0.0).batches

    assert batch.median_seconds == 0.001
    assert batch.samples_per_second == pytest.approx(10_000)
    assert batch.p95_seconds > 0.001


def test_an_error_of_the_model_is_not_hidden(make):
    """Only a full memory is a result."""

    class Broken(Watched):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) == 7:
                raise ValueError("seven")
            return super().forward(x)

    with pytest.raises(ValueError, match="seven"):
        measure(make(model=Broken()), (7,), 0.0)


def test_measuring_leaves_the_model_in_its_mode(make):
    """Dropout is on again afterwards."""
    trainer = make()
    trainer.model.train()
    measure(trainer, (2,), 0.0)

    assert trainer.model.training
