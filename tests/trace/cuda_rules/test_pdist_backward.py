"""The buffer of a gradient of ``pdist``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.trace.reading import ran


def test_each_pair_has_its_gradient() -> None:
    """Of 8 rows of 16 in 32 bits, 7 times 8 are kept apart until they are summed."""

    def run(_: object, x: Tensor) -> None:
        F.pdist(x).sum().backward()  # type: ignore[no-untyped-call]

    trace = ran(run, torch.empty(8, 16, requires_grad=True))
    assert [a.bytes for a in trace.allocations if a.maker.startswith("pdist")] == [7 * 8 * 16 * 4]
