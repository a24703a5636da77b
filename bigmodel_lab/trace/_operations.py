"""Below autograd: every operation of a traced step passes here, forward, backward and optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode

from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import Doubt
from bigmodel_lab.trace._decisions import Answers
from bigmodel_lab.trace._dispatch_key import add_to_key
from bigmodel_lab.trace._in_place import is_in_place
from bigmodel_lab.trace._modules import ModulePath
from bigmodel_lab.trace._recorder import Recorder
from bigmodel_lab.trace._sparse import MADE_OF_DENSE, SPARSE, is_sparse, run_sparse
from bigmodel_lab.trace._unknown_shapes import OWN_STAND_INS, UnknownShapes, follows
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Call, ExtraMemory, Freed, Outputs, Step, Target

_current_node = torch._C._current_autograd_node  # noqa: SLF001
_DEVICE = torch.ops.prim.device.default
_WITHOUT_MEMORY = frozenset({torch.ops.aten.detach.default, torch.ops.aten.t.default})
_READ_BY_THE_HOST = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001
_NEW_HOST_TENSOR = torch.ops.aten.lift_fresh.default
_SELDOM_TRUE = frozenset({"aten.isnan", "aten.isinf", "aten.eq", "aten.any", "aten.logical_or", "aten.bitwise_or"})
"""What programs ask before they give up: not a number, infinite (equal to infinity), and any of several."""
_TAKEN_APART = frozenset({torch.ops.aten._safe_softmax.default})  # noqa: SLF001
"""Composed of other operations on CUDA, though they have stand-ins of their own."""
_COMPARES_ROUGHLY = torch.ops.aten.allclose.default
_COMPARES_ALL = frozenset({torch.ops.aten.equal.default, _COMPARES_ROUGHLY})
_LOOKS_FOR_OVERFLOW = torch.ops.aten._amp_foreach_non_finite_check_and_unscale_.default


class RecordingMode(FakeTensorMode):  # type: ignore[no-untyped-call]
    """The mode of the stand-ins, which records the memory of each operation's outputs, and what CUDA's kernel needs beside.

    Tensors that are no stand-ins live on the host: operations among them run for real and are not
    recorded, as with an optimizer's count of steps.
    """

    def __init__(self, recorder: Recorder, target: Target, answers: Answers | None = None) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._recorder, self._target = recorder, target
        self._answers = answers or Answers()
        self._guarded: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._path: ModulePath | None = None
        self._step = -1
        self._phase = ""
        self._in_optimizer = False
        self._is_inside = False
        self._extra = _extra_memory()
        self._sized = {name: sizes for rule in RULES.all() for name, sizes in rule.outputs.items()}
        self._overflows: list[weakref.ref[Tensor]] = []
        self._shapes = UnknownShapes()
        self._below_autograd = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and keeping the compiler out would cost more than the operation."""
        return False

    def _prep_args_for_hash(self, result: Any, args: Any, *rest: Any) -> None:
        """The same question to torch's cache of shapes, asked quicker; what is not plain is asked as torch asks."""
        if isinstance(args, dict):
            result += args.keys()
            args = tuple(args.values())
        result.append(len(args))
        left = add_to_key(self, result, args)
        if left:
            super()._prep_args_for_hash(result, left, *rest)

    def record_from_here(self, path: ModulePath) -> None:
        """The model is loaded; what happens now is its program."""
        self._path = path

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What is made inside was there before."""
        path, self._path = self._path, None
        try:
            yield
        finally:
            self._path = path

    def guard(self, tensor: Tensor) -> None:
        """Remembers the gradient of a weight of the user's that the traced program got hold of."""
        if tensor.requires_grad and tensor.is_leaf and not isinstance(tensor, FakeTensor):
            self._guarded.setdefault(id(tensor), (tensor, tensor.grad))

    def let_go(self) -> None:
        """Takes stand-ins away from tensors of the user's that got one as their gradient.

        Functions of autograd written in Python take their arguments past everything that could replace them before.
        """
        for tensor, gradient in self._guarded.values():
            if isinstance(tensor.grad, FakeTensor):
                tensor.grad = gradient

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
        is_view = func in _WITHOUT_MEMORY
        if is_view and type(args[0]) is not FakeTensor:
            self.guard(args[0])
        if is_view or self._path is None or self._is_inside:
            return self.dispatch(func, types, args, kwargs)
        if (self._below_autograd or torch.is_inference_mode_enabled()) and _is_composed(func):
            with self:  # without autograd nobody has taken it apart yet
                return func.decompose(*args, **kwargs)
        with torch._C.DisableTorchFunction():  # noqa: SLF001 (what happens in here is not the program's)
            if self._on_the_host(func, args):
                return func(*args, **kwargs)
            if func is _READ_BY_THE_HOST:
                return self._stand_in_number(args[0])
            if func in _COMPARES_ALL:
                return self._are_alike(func, args, kwargs)
            return self._on_the_card(func, types, args, kwargs)

    def _on_the_host(self, func: Any, args: Any) -> bool:
        """All tensors are real ones; a scalar that the program just made of a Python number is, too."""
        found = False
        for tensor in _tensors(args):
            if isinstance(tensor, FakeTensor):
                return False
            self.guard(tensor)
            found = True
        return found and (func is not _NEW_HOST_TENSOR or args[0].dim() == 0)

    def _on_the_card(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        node = _current_node()
        self._enter(self._phase_of(node))
        if func in _TAKEN_APART:
            return self._taken_apart(func, args, kwargs)
        outputs = self._run(func, types, args, kwargs)
        self._record(func, args, kwargs, outputs, node)
        return outputs

    def _taken_apart(self, func: Any, args: Any, kwargs: Any) -> Any:
        """CUDA has no kernel for it and runs what it is composed of, each with memory of its own."""
        with self:
            return func._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, *args, **kwargs)  # noqa: SLF001

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
            sparse = text(
                "trace.sparse_gradient",
                "A sparse gradient is followed until the backward pass has ended; what an optimizer needs to sort it (SparseAdam: up to "
                "twice its places and values) is not counted.",
            )
            self._recorder.note(Doubt(sparse))
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
        usual = 0 if self._recorder.maker_of(tensor) in _SELDOM_TRUE else 1
        if tensor.dtype == torch.bool:
            return bool(self._answers.answer(usual=bool(usual), is_decision=True, is_whole=False))
        is_whole = not tensor.is_floating_point() and not tensor.is_complex()
        value = self._answers.answer(usual, is_decision=False, is_whole=is_whole)
        return float(value) if tensor.is_floating_point() else value

    def _are_alike(self, func: Any, args: Any, kwargs: Any) -> bool:
        if func is _COMPARES_ROUGHLY:  # composed of the following, in ATen's TensorCompare.cpp
            with self:
                torch.isclose(*args, **kwargs).all()
        return bool(self._answers.answer(usual=True, is_decision=True, is_whole=False))

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
        if _has_unknown_buffers(name):
            self._recorder.note(Doubt(_unknown_buffers(name)))
        if follows(name):
            self._shapes.follow(name, args, outputs)
        rules, sized = self._extra.get(name, ()), self._sized.get(name)
        call = Call(name, args, kwargs, outputs, is_backward=node is not None)
        sizes = sized(call, self._target) if sized else {}
        steps = [step for rule in rules for step in rule(call, self._target)]
        if not any(isinstance(step, Outputs) for step in steps):
            steps.insert(0, Outputs())
        self._follow(steps, call, module, sizes)
        if args and isinstance(outputs, Tensor) and is_in_place(name, args[0], node, inside=self._path.is_inside):
            self._recorder.may_continue(outputs, args[0])

    def _follow(self, steps: Iterable[Step], call: Call, module: str, sizes: Mapping[int, int]) -> None:
        """Writes down what a kernel asks for and frees, in its order; the rest of what it borrowed is freed at its end."""
        made = list(_tensors(call.outputs))
        borrowed: dict[int, int] = {}
        for step in steps:
            if isinstance(step, Outputs):
                for number in range(len(made)) if step.numbers is None else step.numbers:
                    self._recorder.born(made[number], call.name, module, size=sizes.get(number))
            elif isinstance(step, Freed):
                self._recorder.given_back(borrowed.pop(id(step.extra)))
            elif step.stays_as is not None:
                self._recorder.kept(step.bytes, step.label, step.stays_as)
            elif step.bytes:
                borrowed[id(step)] = self._recorder.borrowed(step.bytes, step.label, module)
        for number in borrowed.values():
            self._recorder.given_back(number)


@cache
def _has_unknown_buffers(name: str) -> bool:
    """Decompositions of matrices and Fourier transforms run in libraries whose workspaces are published nowhere."""
    plain = name.removeprefix("aten.")
    known = {"linalg_vector_norm", "linalg_cross", "linalg_vecdot"}
    return plain not in known and plain.startswith(("linalg_", "_linalg_", "_fft_", "cholesky"))


def _unknown_buffers(name: str) -> str:
    return text(
        "trace.unknown_buffers",
        "{operation} runs in a library of NVIDIA whose workspace is published nowhere (cuSOLVER, cuFFT), or takes a way that depends "
        "on values: what it needs beside its result is not counted.",
        operation=name,
    )


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


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
