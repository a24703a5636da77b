"""Sorting a sparse tensor makes new places and values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.estimate.traced import run_once

COUNT = 300


def test_a_sorted_tensor_has_places_and_values_of_its_own() -> None:
    """Beside those that it was sorted from; sorted again it stays as it is."""
    sparse = torch.sparse_coo_tensor(
        torch.zeros(2, COUNT, dtype=torch.long), torch.zeros(COUNT), (40, 40), check_invariants=False
    )

    def step(_model: nn.Module, x: Tensor) -> Tensor:
        return x.coalesce().coalesce()

    trace = run_once(nn.Linear(1, 1), sparse, step)
    made = [a.bytes for a in trace.allocations if a.maker != "load"]

    assert made.count(2 * COUNT * 8) == 1
    assert made.count(COUNT * 4) == 1
