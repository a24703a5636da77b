"""What stands for results whose shape depends on values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.memory.requests import RequestTrace
from tests.estimate.traced import run_once

ROWS = 64


def shapes(trace: RequestTrace, maker: str) -> list[tuple[int, ...]]:
    """Of all results of an operation."""
    return [a.shape for a in trace.allocations if a.maker == maker]


CHOICES: dict[str, Callable[[Tensor], Tensor]] = {
    "mask": lambda x: x[x[:, 0] > 0],
    "nonzero": lambda x: x[(x[:, 0] > 0).nonzero()[:, 0]],
    "where": lambda x: x[torch.where(x[:, 0] > 0)[0]],
    "unique": lambda x: x[torch.unique(x[:, 0].long())],
}


@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES)
def test_all_rows_stand_for_a_choice_of_rows(choose: Callable[[Tensor], Tensor]) -> None:
    """No real choice is larger, and a note says so."""
    trace = run_once(nn.Linear(8, 4), torch.ones(ROWS, 8), lambda model, x: model(choose(x)).mean())

    assert (ROWS, 4) in shapes(trace, "aten.addmm")
    assert any("depends on values" in note for note in trace.notes)


@pytest.mark.parametrize("ways", [2, 8])
@pytest.mark.parametrize("mask", ["compared", "one hot"])
def test_experts_share_the_rows(ways: int, mask: str) -> None:
    """All of them together get each row as often as it was sent, here twice."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        chosen = torch.rand(ROWS, ways).topk(2)[1]
        masks = F.one_hot(chosen, ways).permute(2, 1, 0)
        out = torch.zeros(ROWS, 4)
        for way in range(ways):
            row = torch.where(chosen == way)[0] if mask == "compared" else torch.where(masks[way])[1]
            out = out.index_add(0, row, model(x[row]))
        return out.mean()

    rows = [shape[0] for shape in shapes(run_once(nn.Linear(8, 4), torch.ones(ROWS, 8), step), "aten.addmm")]

    assert len(rows) == ways
    assert sum(rows) == 2 * ROWS


@pytest.mark.parametrize("lengths", [(7, 5), torch.tensor([7, 5])], ids=["lists", "tensors of the card"])
def test_the_ctc_loss_keeps_a_table(lengths: tuple[int, ...] | Tensor) -> None:
    """(samples, time, 2 × longest target + 1); padded targets tell the longest, too."""
    targets = torch.zeros(2, 7, dtype=torch.long)

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        scores = model(batch[0]).log_softmax(2)
        return F.ctc_loss(scores, batch[1], (50, 50) if isinstance(lengths, tuple) else torch.full((2,), 50), lengths)

    trace = run_once(nn.Linear(8, 4), (torch.ones(50, 2, 8), targets), step)

    assert (2, 50, 15) in shapes(trace, "aten._ctc_loss")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_groups_are_multiplied_in_every_format(dtype: torch.dtype) -> None:
    """Rows begin at multiples of 16 bytes."""
    trace = run_once(
        nn.Linear(1, 1),
        (torch.ones(ROWS, 8, dtype=dtype), torch.ones(3, 8, 6, dtype=dtype), torch.zeros(3, dtype=torch.int32)),
        lambda _model, batch: F.grouped_mm(batch[0], batch[1], offs=batch[2]),
    )
    made = [a for a in trace.allocations if a.maker == "aten._grouped_mm"]

    assert [a.shape for a in made] == [(ROWS, 6)]
    assert made[0].bytes >= (ROWS - 1) * 8 * dtype.itemsize


def test_a_sparse_gradient_holds_values_and_no_table() -> None:
    """As many rows as the batch has places."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        loss: Tensor = model(x).mean()
        loss.backward()
        return loss

    trace = run_once(nn.Embedding(5000, 16, sparse=True), torch.zeros(4, 3, dtype=torch.long), step)

    assert not any(a.shape == (5000, 16) and a.maker != "load" for a in trace.allocations)
    assert any(a.shape in {(4, 3, 16), (12, 16)} for a in trace.allocations)
