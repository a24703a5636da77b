"""The real training step, run without a card: what it asks of the memory, operation by operation.

Two optimizer steps run on stand-ins (tensors without memory behind them). Every tensor's birth
and death is written down at the moment at which CUDA's allocator would hear of it. Where CUDA
asks for other memory than a CPU, a rule in :mod:`.cuda_rules` corrects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    UnsupportedOperatorException,
)
from torch.utils._pytree import tree_leaves

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace._fake import batch_of_stand_ins, load_order, model_of_stand_ins, uncompiled
from bigmodel_lab.trace._functions import CudaFunctions
from bigmodel_lab.trace._modules import ModulePath
from bigmodel_lab.trace._operations import RecordingMode
from bigmodel_lab.trace._optimizers import takes_lists
from bigmodel_lab.trace._recorder import Recorder
from bigmodel_lab.trace._sparse import is_jagged
from bigmodel_lab.trace._trees import tensors_of
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Target

__all__ = ["STEPS", "Prepare", "Prepared", "Target", "trace_steps"]

_REFUSALS = ("fake impl", "FakeTensor", "tensor subclasses", "SparseTensorImpl")
STEPS = 2
"""The optimizer's state is born in the first step; the second is like all that follow."""


@dataclass(frozen=True)
class Prepared:
    """A model made ready to be stepped."""

    step: Callable[[Any], object]
    """Runs one optimizer step (or whatever else is to be traced) on a batch."""
    optimizer: torch.optim.Optimizer | None = None
    """Its state and the gradients are told apart from the rest by it; None where nothing is trained."""


Prepare = Callable[[nn.Module], Prepared]
"""Gets the model of stand-ins; makes optimizer and step for it."""


def trace_steps(
    model: nn.Module, batch: Any, prepare: Prepare, *, target: Target | None = None, steps: int = STEPS
) -> RequestTrace:
    """Requests of a card's memory while a model is loaded and stepped.

    Args:
        model: On any device, the meta device included; it is copied, never changed.
        batch: A tree of tensors on any device; only shapes, strides and types count. It stays on the card throughout.
        prepare: Gets the copy made of stand-ins, returns what to run.
        target: The card; None is an Ampere card.
        steps: How many to run.

    Raises:
        TraceError: The step does what cannot be followed without data: a result whose shape depends on values.

    >>> def prepare(model):
    ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ...     def step(x):
    ...         optimizer.zero_grad()
    ...         model(x).sum().backward()
    ...         optimizer.step()
    ...     return Prepared(step, optimizer)
    >>> trace = trace_steps(nn.Linear(256, 128, bias=False), torch.empty(64, 256), prepare)
    >>> [(a.category, a.bytes) for a in trace.allocations][:2]
    [('parameter', 131072), ('input', 65536)]
    """
    target = target or Target()
    recorder = Recorder()
    mode = RecordingMode(recorder, target)
    plain = uncompiled(model)
    if plain is not model:
        recorder.note(text("trace.compiled", "The model is compiled; it is sized as it runs without compilation."))
    copied = model_of_stand_ins(plain, mode)
    inputs = batch_of_stand_ins(batch, mode)
    _load(recorder, copied, inputs)
    mode.record_from_here(ModulePath(copied))
    with ExitStack() as around:
        for context in (mode, *(rule.around() for rule in RULES.all() if rule.around), CudaFunctions(target)):
            around.enter_context(context)
        _run(prepare(copied), inputs, recorder, mode, steps)
    return recorder.end()


def _load(recorder: Recorder, model: nn.Module, inputs: Any) -> None:
    recorder.mark("load", -1)
    for module, tensor in load_order(model):
        recorder.born(tensor, "load", module, "parameter")
    for leaf in (leaf.values() if is_jagged(leaf) else leaf for leaf in tensors_of(inputs)):
        if isinstance(leaf, FakeTensor):  # others stay in main memory
            recorder.born(leaf, "load", "", "input")


def _run(prepared: Prepared, inputs: Any, recorder: Recorder, mode: RecordingMode, steps: int) -> None:
    if prepared.optimizer is not None:
        _watch(prepared.optimizer, recorder, mode)
    for number in range(steps):
        mode.begin_step(number)
        try:
            prepared.step(inputs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise TraceError(_advice(error)) from error
        except (RuntimeError, NotImplementedError) as error:
            if _is_about_stand_ins(error):
                raise TraceError(_other_advice(error)) from error
            raise


def _watch(optimizer: torch.optim.Optimizer, recorder: Recorder, mode: RecordingMode) -> None:
    """Tells gradients and the optimizer's state apart, and what its own step asks for."""
    _run_like_cuda(optimizer)

    def begins(*_: Any) -> None:
        for parameter in _with_gradient(optimizer):
            recorder.becomes(_tensors(parameter.grad), "gradient", of=parameter)
        mode.optimizer_runs(True)

    def ended(*_: Any) -> None:
        mode.optimizer_runs(False)
        for parameter, state in optimizer.state.items():
            recorder.becomes(_tensors(state), "optimizer_state", of=parameter)

    optimizer.register_step_pre_hook(begins)
    optimizer.register_step_post_hook(ended)


def _run_like_cuda(optimizer: torch.optim.Optimizer) -> None:
    """On CUDA most optimizers work on all tensors at once unless told otherwise."""
    for group in optimizer.param_groups:
        if takes_lists(optimizer, group):
            group["foreach"] = True


def _with_gradient(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)


def _tensors(values: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _advice(error: Exception) -> str:
    return text(
        "error.trace_data_dependent",
        "The step cannot be followed without data: the result of {operation} depends on the values of its input. "
        "Estimate a step without it, e.g. step=lambda model, batch: … with padded batches or torch.where instead of a mask.",
        operation=getattr(error, "func", "an operation"),
    )


def _is_about_stand_ins(error: Exception) -> bool:
    """What torch says where an operation has no stand-in, or a program wants the numbers themselves; it has no class for all."""
    return isinstance(error, UnsupportedOperatorException) or any(words in str(error) for words in _REFUSALS)


def _other_advice(error: Exception) -> str:
    return text(
        "error.trace_unsupported",
        "The step cannot be followed without data: {error} Estimate a step without it, or, for an operation of your own, "
        "tell torch the shape of its result (torch.library.register_fake).",
        error=str(getattr(error, "func", error)).rstrip(".") + ".",
    )
