"""The two tables of the CTC loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.estimate.traced import run_once

TABLE = 2 * 50 * 15 * 4


def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Lengths as lists, as most programs have them."""
    loss = F.ctc_loss(model(batch[0]).log_softmax(2), batch[1], (50, 50), (7, 5))
    loss.backward()
    return loss


def test_going_back_makes_a_second_table() -> None:
    """As large as that of the forward pass, while the kernel runs."""
    trace = run_once(nn.Linear(8, 4), (torch.ones(50, 2, 8), torch.zeros(2, 7, dtype=torch.long)), step)
    tables = [(a.maker, a.bytes) for a in trace.allocations if a.bytes == TABLE]

    assert ("CTC table", TABLE) in tables
    assert ("aten._ctc_loss", TABLE) in tables
