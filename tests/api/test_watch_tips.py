"""Tips for loops of one's own: each that only they can need is given to one that needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import bigmodel_lab as lab
from bigmodel_lab.api import _tip_board
from bigmodel_lab.api._run import Run
from bigmodel_lab.tips._recorded import evidence_of_record

CARD = {"name": "NVIDIA A100-SXM4-40GB", "total_bytes": 40 * 2**30, "power_limit_watts": 400.0}
DRAWN = {"power_watts": 395.0, "gpu_utilization_percent": 99.0}


class Slow(Dataset[Tensor]):
    """Each sample takes its time."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(0.003)
        return torch.zeros(6)


def train(loader: Any, *, set_to_none: bool = True, known: dict[str, Any] | None = None) -> Run:
    """A plain loop; ``known`` stands in for what a driver would have told."""
    model = nn.Linear(6, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    with lab.watch(model, optimizer) as w:
        for batch in w(loader):
            optimizer.zero_grad(set_to_none=set_to_none)
            model(batch).sum().backward()
            optimizer.step()
        w._running().update_header(**(known or {}))
        if known:
            stream = w._running().stream("nvml", axis="time", keys=tuple(DRAWN))
            stream.append(5, time.monotonic_ns(), [DRAWN.get(key, float("nan")) for key in stream.keys])
    return w.run


@pytest.fixture(scope="module")
def waiting() -> Run:
    """A loop that waits for its loader beside a fast card."""
    return train(DataLoader(Slow(), batch_size=4), known={"gpu": CARD})


@pytest.mark.parametrize("tip", ["loader_workers", "pinned_memory"])
def test_a_loop_that_waits_for_its_loader_hears_of_it(waiting: Run, tip: str) -> None:
    """Wait and loader were seen, the card is in the header."""
    assert tip in {one.tip for one in lab.advise(waiting)}


def test_small_data_may_lie_on_the_card(waiting: Run) -> None:
    """Its size was read off the first batch."""
    assert "40 samples" not in lab.advise(waiting)["data_on_device"].why
    assert "960 B" in lab.advise(waiting)["data_on_device"].why


def test_a_card_at_its_power_limit_is_told_of(waiting: Run) -> None:
    """The limit is in the header, what it draws in the record."""
    assert "400 W" in lab.advise(waiting)["power_limit"].why


def test_a_loop_that_keeps_gradients_hears_of_it() -> None:
    """Seen off the optimizer's steps."""
    run = train([torch.ones(4, 6)] * 8, set_to_none=False)

    assert "gradients_to_none" in {one.tip for one in lab.advise(run)}


def test_an_evaluation_that_keeps_its_graph_hears_of_it() -> None:
    """Nothing is trained, and the outputs need gradients."""
    model = nn.Linear(6, 2)
    with lab.watch(model) as w:
        for batch in w([torch.ones(4, 6)] * 8):
            model(batch)

    assert "inference_mode" in {one.tip for one in lab.advise(w.run)}


def test_a_healthy_loop_hears_nothing() -> None:
    """Batches are there, gradients are dropped, the CPU computes in fp32 as it should."""
    assert len(lab.advise(train([torch.ones(4, 6)] * 8))) == 0


def test_what_is_unknown_is_not_changed(waiting: Run) -> None:
    """No proposal changes a setting that nobody could see."""
    evidence = evidence_of_record(waiting.source)

    assert "activation_checkpointing" in evidence.unknown
    assert not any(one.change.keys() & evidence.unknown for one in lab.advise(waiting))


def test_what_the_loop_has_shown_counts(waiting: Run) -> None:
    """Not the defaults of ``fit``."""
    evidence = evidence_of_record(waiting.source)

    assert (evidence.config.micro_batch_size, evidence.config.optimizer, evidence.framework) == (4, "adamw", "plain")


def test_an_optimizer_that_nobody_knows_is_unknown() -> None:
    """A loop of one's own may have any."""

    class Mine(torch.optim.SGD):
        """As SGD, by another name."""

    model = nn.Linear(6, 2)
    with lab.watch(model, Mine(model.parameters(), lr=0.1)) as w:
        w.log(loss=1.0)

    assert {"optimizer", "optimizer_options"} <= evidence_of_record(w.run.source).unknown


def test_no_click_changes_a_loop_that_is_not_ours(waiting: Run) -> None:
    """The table says how instead."""
    assert {row[3] for row in lab.advise(waiting).table().rows} <= {"by hand", "in a new run"}


def test_the_lines_begin_with_those_for_a_loop_of_ones_own(waiting: Run) -> None:
    """That is what the person has."""
    assert lab.advise(waiting)["loader_workers"].code[0].framework == "plain"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice is not waited for."""
    monkeypatch.setattr(_tip_board, "_FIRST_ADVICE_SECONDS", 0.2)


@pytest.mark.usefixtures("soon")
def test_cards_are_shown_beside_the_loop() -> None:
    """While it runs, without a button: nobody can apply them from here."""

    def until_shown() -> Iterator[Tensor]:
        end = time.monotonic() + 60
        while time.monotonic() < end and not w.run.source.proposals():
            time.sleep(0.01)
            yield torch.ones(4, 6)

    loader = DataLoader(TensorDataset(torch.zeros(40, 6)), batch_size=4)
    with lab.watch() as w:
        w.takes(loader)
        for _ in w(until_shown()):
            pass

    shown = {record.tip: record.data for record in w.run.source.proposals()}
    assert shown["loader_workers"]["can_apply"] is False
