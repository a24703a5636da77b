"""Workspaces of cuBLAS and cuBLASLt."""

from __future__ import annotations

import torch
from torch import nn

from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Target
from tests.trace.reading import WORKSPACE, ran, trained

X = torch.empty(8, 16)


def asked(trace: RequestTrace) -> list[tuple[str, int]]:
    """Workspaces in the order of their requests."""
    return [(a.maker, a.bytes) for a in trace.allocations if a.maker.startswith("cuBLAS")]


def test_the_first_product_of_each_thread_asks_once() -> None:
    """Two layers, two steps: one workspace of the forward, one of the backward pass."""
    trace = trained(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4)), X)

    assert asked(trace) == [("cuBLAS workspace", WORKSPACE)] * 2


def test_it_comes_right_after_the_first_result() -> None:
    """The output is there before the kernel's handle is."""
    trace = ran(lambda model, x: x @ x.t(), X)

    assert [a.maker for a in trace.allocations] == ["load", "aten.mm", "cuBLAS workspace"]


def test_it_is_never_given_back() -> None:
    """And belongs to no module."""
    trace = ran(lambda model, x: model(x), X, model=nn.Linear(16, 4))
    number = next(i for i, a in enumerate(trace.allocations) if a.maker == "cuBLAS workspace")

    assert ~number not in trace.sequence
    assert (trace.allocations[number].module, trace.allocations[number].category) == ("", "temporary")


def test_without_products_there_is_none() -> None:
    """Element-wise work needs no cuBLAS."""
    assert asked(ran(lambda model, x: (x + 1).relu().sum(), X)) == []


def test_the_size_is_the_card_s() -> None:
    """32 MiB on a Hopper card; none where torch leaves it to cuBLAS."""
    for size, found in ((32 << 20, [("cuBLAS workspace", 32 << 20)]), (0, [])):
        target = Target((9, 0), cublas_workspace_bytes=size)
        assert asked(ran(lambda model, x: x @ x.t(), X, target=target)) == found


def test_cublaslt_asks_besides_where_a_bias_is_added_in_the_kernel() -> None:
    """With torch before 2.12; a product without a bias does not go there."""
    target = Target((8, 0), cublaslt_workspace_bytes=1 << 20)
    with_bias = asked(ran(lambda model, x: model(x), X, model=nn.Linear(16, 4), target=target))
    without = asked(ran(lambda model, x: model(x), X, model=nn.Linear(16, 4, bias=False), target=target))

    assert with_bias == [("cuBLAS workspace", WORKSPACE), ("cuBLASLt workspace", 1 << 20)]
    assert without == [("cuBLAS workspace", WORKSPACE)]


def test_threads_that_multiplied_before_keep_theirs() -> None:
    """A run in the background that was tried out on the main thread has three, one of them idle; cuBLASLt's go with them."""
    model = nn.Linear(16, 4)
    for idle in (0, 1):
        target = Target((8, 0), cublaslt_workspace_bytes=1 << 20, forward_threads=1 + idle)
        names = [name for name, _ in asked(trained(model, X, target=target))]
        assert (names.count("cuBLAS workspace"), names.count("cuBLASLt workspace")) == (2 + idle, 1 + idle)
