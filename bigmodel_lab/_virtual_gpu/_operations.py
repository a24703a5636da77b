"""Every operation of the program passes here, forward, backward and optimizer; its storages are put onto the card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from bigmodel_lab._virtual_gpu._history import Asked
from bigmodel_lab._virtual_gpu._ledger import Ledger
from bigmodel_lab._virtual_gpu._modules import ModulePath
from bigmodel_lab._virtual_gpu._optimizers import OptimizerSteps
from bigmodel_lab._virtual_gpu._rules import MASK_FILLED, MASK_MADE, charged_bytes
from bigmodel_lab.memory.handles import Handles
from bigmodel_lab.memory.requests import Category
from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, ExtraMemory, Freed, Step, Target

_backward = torch._C._current_graph_task_id  # noqa: SLF001 (the only way to ask whether a backward pass runs; -1: none)
_RESIZING = frozenset(("aten.resize_", "aten.resize_as_", "aten.set_"))
_LISTS = frozenset((list, tuple))
_PLAIN = frozenset((Tensor, Parameter))


@dataclass(frozen=True, slots=True)
class Operation:
    """What is known of one operation of torch, looked up once."""

    func: Any
    """The operation, with its overload."""
    name: str
    """Without overload, e.g. ``"aten.addmm"``."""
    gives_storage: bool
    """It may return a storage of its own, or one that it has resized."""
    extra: tuple[ExtraMemory, ...]
    """What its kernels on CUDA ask for besides."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in PyTorch
    """Charges the ledger for what operations make, and for what they see for the first time.

    A mode of torch belongs to one thread; on the CPU the backward pass runs on the thread that
    asked for it.
    """

    def __init__(self, ledger: Ledger, target: Target, modules: ModulePath, optimizers: OptimizerSteps) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in PyTorch
        self.on_host = False
        """What happens now happens on the host, and concerns the card not at all."""
        self.handles = Handles()
        """Of cuBLAS, which keeps a workspace for each."""
        self._ledger, self._target, self._modules, self._optimizers = ledger, target, modules, optimizers
        self._dead = ledger.dead
        self._operations: dict[int, Operation] = {}
        self._kept: set[str] = set()
        self._phase: tuple[str, int] = ("", -1)
        self._mask: tuple[Operation, Tensor] | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would otherwise load its compiler for the first operation, and wrap every one for its sake."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, between the two halves of the bookkeeping."""
        if types and not _PLAIN.issuperset(types):
            if FakeTensor not in types:
                return NotImplemented  # a tensor of another kind runs operations on plain ones in turn
            return func(*args, **(kwargs or {}))  # a stand-in has no memory
        kwargs = kwargs or {}
        if self.on_host:
            return func(*args, **kwargs)
        operation = self._operations.get(id(func)) or self._learn(func)
        if self._mask is not None:
            self._decide_mask(func, args)
        if self._dead:
            self._ledger.settle()
        self._seen(operation, args)
        if kwargs:
            self._seen(operation, kwargs.values())
        outputs = func(*args, **kwargs)
        if self._dead:
            self._ledger.settle()
        if operation.gives_storage:
            self._made(operation, outputs)
        for rule in operation.extra if operation.extra and _computed_here(outputs) else ():
            self._beside(rule, Call(operation.name, args, kwargs, outputs, is_backward=_backward() != -1))
        return outputs

    def put(self, tensors: Iterable[Tensor], category: Category, module: str = "") -> None:
        """Put tensors onto the card that no operation has shown.

        Args:
            tensors: Those that are there already are only named.
            category: What they are for.
            module: Dotted name of their module.
        """
        self._ledger.settle()
        for tensor in tensors:
            for part, storage in _storages(tensor):
                if storage.device.type != "cpu":
                    continue
                if self._ledger.find(id(storage)) is None:
                    self._charge(part, storage, storage.nbytes(), category, "load", phase="load")
                self._ledger.describe(part, category, module)

    def end_mask(self) -> None:
        """Charge what may be the mask of a dropout, before somebody reads how much is allocated.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        if self._mask is not None:
            (operation, tensor), self._mask = self._mask, None
            self._charge_made(operation, tensor)

    def give_back_kept(self) -> None:
        """Give back workspaces; the next operation that needs one makes it anew."""
        self._kept.clear()
        self.handles.forget()
        self._ledger.give_back_kept()

    def _decide_mask(self, func: Any, args: Any) -> None:
        """The operation after the one that made what may be a mask tells whether it is one."""
        if self._mask is not None and func is MASK_FILLED and args[0].is_set_to(self._mask[1]):
            self._mask = (self._operations.get(id(func)) or self._learn(func), self._mask[1])
        self.end_mask()

    def _seen(self, operation: Operation, values: Iterable[Any]) -> None:
        """Arguments: the card knows each from now on, in its present size."""
        find = self._ledger.find
        for value in values:
            if isinstance(value, Tensor):
                try:
                    storage = value.untyped_storage()
                except NotImplementedError:
                    self._seen(operation, _dense_parts(value))
                    continue
                charge = find(id(storage))
                if charge is None:
                    self._charge_seen(operation, value, storage)
                elif charge.size != storage.nbytes():
                    self._ledger.resize(charge, storage)
            elif type(value) in _LISTS:
                self._seen(operation, value)

    def _made(self, operation: Operation, outputs: Any) -> None:
        """Results: what the card does not know was made by this operation."""
        if isinstance(outputs, Tensor):
            if operation.func is MASK_MADE and outputs.is_floating_point():
                self._mask = (operation, outputs)  # the next operation tells whether it is one
            else:
                self._charge_made(operation, outputs)
        elif type(outputs) in _LISTS:
            for output in outputs:
                self._made(operation, output)

    def _charge_made(self, operation: Operation, tensor: Tensor) -> None:
        for part, storage in _storages(tensor):
            charge = self._ledger.find(id(storage))
            if charge is None:
                size = charged_bytes(operation.func, part, storage)
                self._charge(part, storage, size, None, operation.name)
            elif charge.size != storage.nbytes():
                self._ledger.resize(charge, storage)

    def _charge_seen(self, operation: Operation, tensor: Tensor, storage: UntypedStorage) -> None:
        category: Category = "parameter" if isinstance(tensor, Parameter) else "input"
        self._charge(tensor, storage, charged_bytes(operation.func, tensor, storage), category, "load")

    def _charge(
        self,
        tensor: Tensor,
        storage: UntypedStorage,
        size: int,
        category: Category | None,
        maker: str,
        *,
        phase: str = "",
    ) -> None:
        """Ask the card for a storage that is on the CPU; one on another device is none of its business."""
        if storage.device.type != "cpu":
            return
        phase = self._entered(phase)
        category = category or ("activation" if phase == "forward" else "temporary")
        on_cpu = storage.nbytes()
        dtype = tensor.dtype if size == on_cpu else torch.uint8
        shape = () if tensor.is_nested else tensor.shape
        asked = Asked(size, category, maker, self._modules.current, shape, dtype)
        self._ledger.charge(storage, on_cpu, asked)

    def _beside(self, rule: ExtraMemory, call: Call) -> None:
        """What a kernel of CUDA needs beside its results, which are charged already."""
        borrowed: dict[int, tuple[int, int]] = {}
        steps = tuple(rule(call, self._target))
        try:
            for step in steps:
                self._follow(step, borrowed, call)
        finally:
            for piece in borrowed.values():
                self._ledger.give_back(piece)

    def _follow(self, step: Step, borrowed: dict[int, tuple[int, int]], call: Call) -> None:
        if isinstance(step, Freed):
            self._ledger.give_back(borrowed.pop(id(step.extra)))
        elif isinstance(step, Extra) and step.bytes:
            asked = Asked(step.bytes, "temporary", step.label)
            if step.stays_as is None:
                borrowed[id(step)] = self._ledger.borrow(asked)
            else:
                self._keep(asked, step.stays_as, call)

    def _keep(self, asked: Asked, name: str, call: Call) -> None:
        """A workspace of the thread's handle, unless that has one: a handle goes from thread to thread."""
        handle = self.handles.of_backward() if call.is_backward else self.handles.of_this_thread()
        kept = f"{name.partition(' ')[0]} {handle}"
        if kept not in self._kept:
            self._ledger.keep(asked)
            self._kept.add(kept)

    def _entered(self, phase: str) -> str:
        """The phase that the program is in, marked where it begins; what is loaded belongs to no step."""
        if not phase:
            phase = "backward" if _backward() != -1 else "optimizer" if self._optimizers.is_running else "forward"
        now = (phase, -1 if phase == "load" else self._optimizers.made)
        if now != self._phase:
            self._phase = now
            self._ledger.history.mark(*now)
        return phase

    def _learn(self, func: Any) -> Operation:
        schema = func._schema  # noqa: SLF001 (what torch knows of its operations has no other name)
        namespace, _, plain = schema.name.partition("::")
        name = f"{namespace}.{plain}"
        is_new = any(value.alias_info is None for value in schema.returns)
        has_out = any(a.kwarg_only and a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
        operation = Operation(func, name, is_new or has_out or name in _RESIZING, _extra_memory(name))
        self._operations[id(func)] = operation  # which keeps it; its own hash would be computed in Python
        return operation


def _computed_here(outputs: Any) -> bool:
    """The CPU, which stands for the card, has computed this, and not a real card beside it."""
    first = next((one for one in (outputs if type(outputs) in _LISTS else (outputs,)) if isinstance(one, Tensor)), None)
    return first is None or first.device.type == "cpu"


def _extra_memory(name: str) -> tuple[ExtraMemory, ...]:
    return tuple(rule.operations[name] for rule in RULES.all() if name in rule.operations)


def _storages(tensor: Tensor) -> tuple[tuple[Tensor, UntypedStorage], ...]:
    """A tensor with its storage; one that is sparse has two, of the places and of the values."""
    try:
        return ((tensor, tensor.untyped_storage()),)
    except NotImplementedError:
        return tuple((part, part.untyped_storage()) for part in _dense_parts(tensor))


def _dense_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()  # noqa: SLF001 (the public ones insist on sorted places)
    if tensor.layout in {torch.sparse_csr, torch.sparse_bsr}:
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in {torch.sparse_csc, torch.sparse_bsc}:
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return ()
