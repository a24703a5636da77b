"""When a data set may lie on the card."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bigmodel_lab.tips.data_on_device import propose
from tests.tips.evidences import A100, waiting


@pytest.mark.parametrize(("data_bytes", "speaks"), [(4 * 10**9, False), (4 * 10**9 - 1, True)])
def test_a_tenth_of_the_memory_is_too_much(data_bytes: int, speaks: bool) -> None:
    """Of 40 GB that tensors can have; just below it is small."""
    card = A100.sized(A100.most_context.bytes + 40 * 10**9)
    evidence = replace(waiting(0.3, data_bytes=data_bytes), card=card)

    assert (propose(evidence) is not None) is speaks


def test_silent_where_the_size_is_unknown() -> None:
    """A stream may have no end."""
    assert propose(waiting(0.3, data_bytes=None)) is None


def test_tells_both_sizes_and_the_waiting() -> None:
    """So that a person can judge."""
    proposal = propose(waiting(0.3))

    assert proposal is not None
    assert all(figure in proposal.why for figure in ("30 %", "150 MiB", "38.8 GiB"))


def test_another_order_of_samples_changes_the_arithmetic() -> None:
    """It is another training, though as good a one."""
    proposal = propose(waiting(0.3))

    assert proposal is not None
    assert proposal.changes_arithmetic


def test_the_lines_visit_every_sample_once() -> None:
    """Run as they are printed, on the CPU."""
    proposal = propose(waiting(0.3))
    assert proposal is not None
    seen: list[int] = []
    names = {
        "torch": torch,
        "device": "cpu",
        "batch_size": 4,
        "x": torch.arange(10),
        "y": torch.arange(10),
        "step": lambda x, y: seen.extend(x.tolist()) if torch.equal(x, y) else None,
    }

    exec(proposal.code[0].text, names)

    assert sorted(seen) == list(range(10))
