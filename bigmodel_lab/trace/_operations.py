"""Below autograd: every operation of a traced step passes here, forward, backward and optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode

from bigmodel_lab.i18n import text
from bigmodel_lab.trace._modules import ModulePath
from bigmodel_lab.trace._recorder import Recorder
from bigmodel_lab.trace._sparse import MADE_OF_DENSE, SPARSE, is_sparse, run_sparse
from bigmodel_lab.trace._unknown_shapes import OWN_STAND_INS, UnknownShapes, follows
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, ExtraMemory, Target

_current_node = torch._C._current_autograd_node  # noqa: SLF001
_DEVICE = torch.ops.prim.device.default
_WITHOUT_MEMORY = frozenset({torch.ops.aten.detach.default, torch.ops.aten.t.default})
_READ_BY_THE_HOST = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001
_NEW_HOST_TENSOR = torch.ops.aten.lift_fresh.default
_SELDOM_TRUE = frozenset({"aten.isnan", "aten.isinf", "aten.eq", "aten.any", "aten.logical_or", "aten.bitwise_or"})
"""What programs ask before they give up: not a number, infinite (equal to infinity), and any of several."""
_LOOKS_FOR_OVERFLOW = torch.ops.aten._amp_foreach_non_finite_check_and_unscale_.default


class RecordingMode(FakeTensorMode):  # type: ignore[no-untyped-call]
    """The mode of the stand-ins, which records the memory of each operation's outputs, and what CUDA's kernel needs beside.

    Tensors that are no stand-ins live on the host: operations among them run for real and are not
    recorded, as with an optimizer's count of steps.
    """

    def __init__(self, recorder: Recorder, target: Target) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._recorder, self._target = recorder, target
        self._path: ModulePath | None = None
        self._step = -1
        self._phase = ""
        self._in_optimizer = False
        self._is_inside = False
        self._extra = _extra_memory()
        self._overflows: list[weakref.ref[Tensor]] = []
        self._shapes = UnknownShapes()
        self._below_autograd = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and keeping the compiler out would cost more than the operation."""
        return False

    def record_from_here(self, path: ModulePath) -> None:
        """The model is loaded; what happens now is its program."""
        self._path = path

    def begin_step(self, step: int) -> None:
        """The next operation belongs to this step."""
        self._step, self._phase = step, ""

    def optimizer_runs(self, running: bool) -> None:
        """The optimizer's own step begins or has ended."""
        self._in_optimizer = running

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation and records it."""
        kwargs = kwargs or {}
        if func is _DEVICE:
            return args[0].fake_device
        if any(kind.__name__ == "NestedTensor" for kind in types):  # it comes again, for the values inside
            self._below_autograd = True
            return NotImplemented
        if (func in SPARSE and any(is_sparse(t) for t in _tensors(args))) or func in MADE_OF_DENSE:
            return self._sparse(func, types, args, kwargs)
        if self._path is None or self._is_inside or func in _WITHOUT_MEMORY:
            return self.dispatch(func, types, args, kwargs)
        if (self._below_autograd or torch.is_inference_mode_enabled()) and _is_composed(func):
            with self:  # without autograd nobody has taken it apart yet
                return func.decompose(*args, **kwargs)
        with torch._C.DisableTorchFunction():  # noqa: SLF001 (what happens in here is not the program's)
            if _on_the_host(func, args):
                return func(*args, **kwargs)
            if func is _READ_BY_THE_HOST:
                return self._stand_in_number(args[0])
            node = _current_node()
            self._enter(self._phase_of(node))
            outputs = self._run(func, types, args, kwargs)
            self._record(func, args, kwargs, outputs, node)
            return outputs

    def _run(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """One operation; those that it is made of are its own matter."""
        self._is_inside = True
        try:
            return (
                self._stand_in_result(func, args, kwargs)
                if func in OWN_STAND_INS
                else self.dispatch(func, types, args, kwargs)
            )
        except DynamicOutputShapeException:
            bound = self._stand_in_result(func, args, kwargs)
            if bound is None:
                raise
            return bound
        finally:
            self._is_inside = False

    def _sparse(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """What is new in the parts of a sparse tensor is born."""
        with self:
            made = run_sparse(func, args, lambda: self.dispatch(func, types, args, kwargs))
        if func in MADE_OF_DENSE and _current_node() is not None:
            self._recorder.note(
                text(
                    "trace.sparse_gradient",
                    "A sparse gradient is followed until the backward pass has ended; what an optimizer needs to sort it (SparseAdam: up to "
                    "twice its places and values) is not counted.",
                )
            )
        if self._path is not None:
            with torch._C.DisableTorchFunction():  # noqa: SLF001
                self._record(func, args, kwargs, made, _current_node())
        return made

    def _stand_in_result(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What stands for a result that the values decide; None where nothing can."""
        with self:
            made = self._shapes.stand_in(func, args, kwargs)
        if made is not None and func not in OWN_STAND_INS:
            self._recorder.note(
                text(
                    "trace.unknown_shape",
                    "The shape of some results depends on values ({operation}): the most that it can be stands for it, and of experts "
                    "an even share of the rows for each.",
                    operation=func,
                )
            )
        return made

    def _phase_of(self, node: Any) -> str:
        """What follows the backward pass outside every module (reading the loss, say) still belongs to it."""
        if self._in_optimizer:
            return "optimizer"
        assert self._path is not None
        between = self._phase in {"backward", "optimizer"} and not self._path.is_inside
        return self._phase if between and node is None else "forward" if node is None else "backward"

    def _stand_in_number(self, tensor: Tensor) -> float | int | bool:
        """The program reads a value that nobody knows: 1, or no, where it asks whether something went wrong."""
        if any(flag() is tensor for flag in self._overflows):
            return 0.0  # a gradient scaler: its step is not skipped
        value = 0 if self._recorder.maker_of(tensor) in _SELDOM_TRUE else 1
        self._recorder.note(
            text(
                "trace.read",
                "The step reads a number of the card (item(), float(), if): 1 stands for it, and no number is NaN or infinite.",
            )
        )
        return float(value) if tensor.is_floating_point() else bool(value) if tensor.dtype == torch.bool else value

    def _enter(self, phase: str) -> None:
        if phase == self._phase:
            return
        if self._phase == "forward":
            self._recorder.survivors_become("temporary", "activation")
        self._phase = phase
        self._recorder.mark(phase, self._step)

    def _record(self, func: Any, args: Any, kwargs: Any, outputs: Any, node: Any) -> None:
        name = f"{func.namespace}.{func._schema.name.split('::')[1]}"  # noqa: SLF001
        assert self._path is not None
        if func is _LOOKS_FOR_OVERFLOW:
            self._overflows = [*(flag for flag in self._overflows if flag() is not None), weakref.ref(args[1])]
        module = self._path.current(None if node is None else node._sequence_nr())  # noqa: SLF001
        if follows(name):
            self._shapes.follow(name, args, outputs)
        for tensor in _tensors(outputs):
            self._recorder.born(tensor, name, module)
        rules = self._extra.get(name, ())
        call = Call(name, args, kwargs, outputs, is_backward=node is not None) if rules else None
        for rule in rules:
            assert call is not None
            self._add(rule(call, self._target), module)

    def _add(self, extras: Iterable[Extra], module: str) -> None:
        """What a kernel borrows is borrowed all at once."""
        borrowed = []
        for extra in extras:
            if extra.stays_as is None:
                borrowed.append((extra.bytes, extra.label))
            else:
                self._recorder.kept(extra.bytes, extra.label, extra.stays_as)
        self._recorder.borrowed(borrowed, module)


@cache
def _is_composed(func: Any) -> bool:
    """Written in terms of other operations, which are those that ask for memory."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))  # noqa: SLF001


def _extra_memory() -> dict[str, list[ExtraMemory]]:
    found: dict[str, list[ExtraMemory]] = {}
    for rule in RULES.all():
        for name, extra in rule.operations.items():
            found.setdefault(name, []).append(extra)
    return found


def _on_the_host(func: Any, args: Any) -> bool:
    """All tensors are real ones; a scalar that the program just made of a Python number is, too."""
    found = False
    for tensor in _tensors(args):
        if isinstance(tensor, FakeTensor):
            return False
        found = True
    return found and (func is not _NEW_HOST_TENSOR or args[0].dim() == 0)


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
