"""The gradient of ``pdist`` is summed on CUDA over a buffer with one entry per pair of rows and column."""

from __future__ import annotations

from collections.abc import Iterable

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Step, Target


def _buffer(call: Call, _target: Target) -> Iterable[Step]:
    """(rows - 1) times the rows themselves."""
    rows = call.args[1]
    yield Extra(max(len(rows) - 1, 0) * rows.numel() * rows.itemsize, "pdist backward: a gradient for each pair")


RULE = Rule(
    name="pdist_backward",
    meaning=Text("rule.pdist_backward", "The gradient of pdist takes a buffer that grows with the square of the rows."),
    source="pytorch aten/src/ATen/native/cuda/DistanceKernel.cu, pdist_backward_kernel_impl",
    operations={"aten._pdist_backward": _buffer},
)
