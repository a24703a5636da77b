"""The first matrix product of a thread gives cuBLAS a workspace, which stays; the backward pass has a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_PRODUCTS = ("aten.mm", "aten.bmm", "aten.baddbmm", "aten.addbmm", "aten.mv", "aten.addmv", "aten.dot")


def _workspace(call: Call, target: Target) -> Iterable[Extra]:
    """One for each thread, as each has a handle of its own."""
    if target.cublas_workspace_bytes:
        for thread in _threads(call, target):
            yield Extra(target.cublas_workspace_bytes, "cuBLAS workspace", stays_as=f"cuBLAS {thread}")


def _with_bias(call: Call, target: Target) -> Iterable[Extra]:
    """A bias of one dimension is added in cuBLASLt's kernel, which asks for a handle of cuBLAS as well."""
    yield from _workspace(call, target)
    if target.cublaslt_workspace_bytes and call.args[0].dim() == 1:
        for thread in _threads(call, target):
            yield Extra(target.cublaslt_workspace_bytes, "cuBLASLt workspace", stays_as=f"cuBLASLt {thread}")


def _threads(call: Call, target: Target) -> Iterable[str]:
    """Who has one by now: the thread that multiplies, and those that have made such a forward pass before."""
    if call.is_backward:
        return ("backward",)
    return ("forward", *(f"forward {number}" for number in range(2, target.forward_threads + 1)))


RULE = Rule(
    name="cublas_workspace",
    meaning=Text("rule.cublas_workspace", "cuBLAS keeps a workspace for each thread that multiplies matrices."),
    source="pytorch aten/src/ATen/cuda/CublasHandlePool.cpp, getChosenWorkspaceSize, cublas_handle_stream_to_workspace",
    operations={**dict.fromkeys(_PRODUCTS, _workspace), "aten.addmm": _with_bias},
)
