"""The real training step, run without a card: what it asks of the memory, operation by operation.

Two optimizer steps run on stand-ins (tensors without memory behind them). Every tensor's birth
and death is written down at the moment at which CUDA's allocator would hear of it. Where CUDA
asks for other memory than a CPU, a rule in :mod:`.cuda_rules` corrects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    UnsupportedOperatorException,
)

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import Doubt, RequestTrace
from bigmodel_lab.trace._attempts import Caught, Ended, error_line, way_through
from bigmodel_lab.trace._copying import copy_of_model, program_beside, stands_for, uncompiled, was_compiled
from bigmodel_lab.trace._decisions import Answers
from bigmodel_lab.trace._fake import batch_of_stand_ins, check_can_be_copied, check_has_shapes, load_order
from bigmodel_lab.trace._functions import CudaFunctions
from bigmodel_lab.trace._modules import ModulePath
from bigmodel_lab.trace._operations import RecordingMode
from bigmodel_lab.trace._optimizers import takes_lists
from bigmodel_lab.trace._outside import Outside
from bigmodel_lab.trace._recorder import Recorder
from bigmodel_lab.trace._sparse import is_jagged
from bigmodel_lab.trace._states import untouched, without_prints
from bigmodel_lab.trace._trees import tensors_of
from bigmodel_lab.trace._whole import copies_of_stand_ins
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Target
from bigmodel_lab.units import format_bytes

__all__ = [
    "STEPS",
    "Prepare",
    "PrepareOwn",
    "Prepared",
    "Target",
    "check_can_be_copied",
    "copy_of_model",
    "program_beside",
    "stands_for",
    "trace_steps",
    "uncompiled",
    "untouched",
]

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
    notes: Sequence[str] = ()
    """What was noticed of the program; it may grow while the step runs."""


Prepare = Callable[[nn.Module], Prepared]
"""Gets the model of stand-ins; makes optimizer and step for it."""
PrepareOwn = Callable[[nn.Module, Any], Prepared]
"""The same for a program of the user's own, of which it gets a copy, too."""
_GROWTH_BYTES = 1024
"""More than that kept after each step is said; a list of losses is not worth a word."""
_SAID_BYTES = 2**20
"""Tensors beside model and batch are mentioned from this size on."""


def trace_steps(
    model: nn.Module,
    batch: Any,
    prepare: Prepare | PrepareOwn,
    *,
    target: Target | None = None,
    steps: int = STEPS,
    program: Any = None,
) -> RequestTrace:
    """Requests of a card's memory while a model is loaded and stepped.

    A program whose way depends on values is traced on the way that raises no error.

    Args:
        model: On any device, the meta device included; it is copied, never changed.
        batch: A tree of tensors on any device; only shapes, strides and types count. It stays on the card throughout.
        prepare: Gets the copy made of stand-ins, returns what to run; with a program it gets the copy of that as well.
        target: The card; None is an Ampere card.
        steps: How many to run.
        program: What the user wrote and is to be run: functions, modules, any tree of them. It is copied with all that it names, so
            that nothing of the user's changes, and modules that it names are loaded like the model; None where there is nothing to copy.

    Raises:
        TraceError: The step does what cannot be followed without data: a result whose shape depends on values, a loop that ends by one.

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
    check_can_be_copied(model)
    check_has_shapes(model)
    asked = _Asked(model, batch, prepare, target or Target(), steps, program)
    with untouched(), without_prints():
        return way_through(partial(_traced, asked), compare=program is not None)


@dataclass(frozen=True)
class _Asked:
    """The arguments of :func:`trace_steps`."""

    model: nn.Module
    batch: Any
    prepare: Callable[..., Prepared]
    target: Target
    steps: int
    program: Any


def _traced(asked: _Asked, answers: Answers) -> Ended:
    """One trace from the beginning."""
    recorder = Recorder()
    mode = RecordingMode(recorder, asked.target, answers)
    outside = Outside(mode, recorder)
    inputs = batch_of_stand_ins(asked.batch, mode, outside.of_the_host)
    copied, program, others = copies_of_stand_ins(asked.model, asked.program, mode, outside)
    if was_compiled(asked.model) or others.has_compiled:
        recorder.note(
            Doubt(text("trace.compiled", "The model is compiled; it is sized as it runs without compilation."))
        )
    _load(recorder, copied, others.beside(copied), inputs)
    mode.record_from_here(ModulePath(copied, others.beside(copied)))
    try:
        with ExitStack() as around, Caught() as caught:
            for context in (mode, *(rule.around() for rule in RULES.all() if rule.around)):
                around.enter_context(context)
            around.enter_context(CudaFunctions(asked.target, outside))
            own = () if asked.program is None else (program,)
            del program
            _run(asked.prepare(copied, *own), inputs, recorder, mode, asked.steps)
    finally:
        mode.let_go()
    return Ended(answers, error=caught.error) if caught.error else Ended(answers, recorder.end())


def _load(recorder: Recorder, model: nn.Module, others: Iterable[tuple[str, nn.Module]], inputs: Any) -> None:
    recorder.mark("load", -1)
    for module, tensor in load_order(model):
        recorder.born(tensor, "load", module, "parameter")
    for name, other in others:
        for module, tensor in load_order(other):
            recorder.born(tensor, "load", ".".join(filter(None, (name, module))), "parameter")
    for leaf in tensors_of(inputs):
        if isinstance(leaf, FakeTensor) or is_jagged(leaf):  # others stay in main memory
            recorder.born(leaf, "load", "", "input")
    recorder.loaded()


def _run(prepared: Prepared, inputs: Any, recorder: Recorder, mode: RecordingMode, steps: int) -> None:
    if prepared.optimizer is not None:
        _watch(prepared.optimizer, recorder, mode)
    alive = []
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
        alive.append(recorder.alive_bytes())
    for sentence in prepared.notes:
        recorder.note(sentence)
    _say_what_is_not_seen(recorder, alive)


def _say_what_is_not_seen(recorder: Recorder, alive: Sequence[int]) -> None:
    """Memory that grows with the steps, of which two show the beginning; and tensors of which one can only think where they lie."""
    if len(alive) > 1 and (grown := alive[-1] - alive[-2]) > _GROWTH_BYTES:
        growth = text(
            "trace.growth",
            "Each step keeps {size} more than the one before, e.g. in a list of outputs: only {steps} steps are counted here. "
            "Keep numbers (loss.item()) or copies on the host (x.detach().cpu()) instead.",
            size=format_bytes(grown),
            steps=len(alive),
        )
        recorder.note(Doubt(growth))
    if recorder.late_bytes > _SAID_BYTES:
        recorder.note(
            text(
                "trace.outside",
                "The step uses {size} in tensors that belong neither to a model nor to the batch; they are counted as on the card.",
                size=format_bytes(recorder.late_bytes),
            )
        )


def _watch(optimizer: torch.optim.Optimizer, recorder: Recorder, mode: RecordingMode) -> None:
    """Tells gradients and the optimizer's state apart, and what its own step asks for."""
    _run_like_cuda(optimizer)
    if isinstance(optimizer, torch.optim.LBFGS):
        recorder.note(Doubt(_of_line_search(optimizer)))

    def begins(*_: Any) -> None:
        for parameter in _with_gradient(optimizer):
            recorder.becomes(tensors_of(parameter.grad), "gradient", of=parameter)
        mode.optimizer_runs(True)

    def ended(*_: Any) -> None:
        mode.optimizer_runs(False)
        for parameter, state in optimizer.state.items():
            recorder.becomes(tensors_of(state), "optimizer_state", of=parameter)

    optimizer.register_step_pre_hook(begins)
    optimizer.register_step_post_hook(ended)


def _of_line_search(optimizer: torch.optim.LBFGS) -> str:
    """L-BFGS stops by values, so that a trace sees its first turn; what it collects afterwards is known by its settings."""
    (group,) = optimizer.param_groups
    bytes_each = sum(weight.numel() * weight.element_size() for weight in group["params"])
    return text(
        "trace.lbfgs",
        "L-BFGS looks at values to end its turns: counted is the first. Later it keeps the last {history} steps and changes of the "
        "gradient, up to {size} more.",
        history=group["history_size"],
        size=format_bytes(2 * group["history_size"] * bytes_each),
    )


def _run_like_cuda(optimizer: torch.optim.Optimizer) -> None:
    """On CUDA most optimizers work on all tensors at once unless told otherwise."""
    for group in optimizer.param_groups:
        if takes_lists(optimizer, group):
            group["foreach"] = True


def _with_gradient(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)


def _advice(error: Exception) -> str:
    return text(
        "error.trace_data_dependent",
        "The step cannot be followed without data: the result of {operation} depends on the values of its input ({line}). "
        "Estimate a step without it, e.g. step=lambda model, batch: … with padded batches or torch.where instead of a mask.",
        operation=getattr(error, "func", "an operation"),
        line=error_line(error),
    )


def _is_about_stand_ins(error: Exception) -> bool:
    """What torch says where an operation has no stand-in, or a program wants the numbers themselves; it has no class for all."""
    return isinstance(error, UnsupportedOperatorException) or any(words in str(error) for words in _REFUSALS)


def _other_advice(error: Exception) -> str:
    return text(
        "error.trace_unsupported",
        "The step cannot be followed without data ({line}): {error} Estimate a step without it, or, for an operation of your own, "
        "tell torch the shape of its result (torch.library.register_fake).",
        error=str(getattr(error, "func", error)).rstrip(".") + ".",
        line=error_line(error),
    )
