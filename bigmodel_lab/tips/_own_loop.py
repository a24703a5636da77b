"""What a loop that is not ours shows of itself in its first turns, for tips: looked at once, and never again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bigmodel_lab.estimate._batch import bytes_of
from bigmodel_lab.tips._facts import LoaderFacts, LoopFacts, Mode
from bigmodel_lab.tips._model import model_facts
from bigmodel_lab.training.config import PrecisionName

_TURNS = 6
"""So many turns tell what a loop is like; the first may be unlike the others."""
_OPTIMIZER_STEPS = 3
_FORWARDS = 3


class LoopWatcher:
    """Looks at a loop from outside: its loader, its batches, and hooks on model and optimizer that go again.

    >>> model = nn.Linear(2, 1)
    >>> watcher = LoopWatcher(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> watcher.takes([torch.ones(8, 2)])
    >>> watcher.has_turned(torch.ones(8, 2), 8), watcher.facts().micro_batch_size
    (False, 8)
    >>> watcher.close()
    """

    def __init__(self, model: nn.Module | None, optimizer: torch.optim.Optimizer | None) -> None:
        """Hooks are set; :meth:`close` takes away what is left of them.

        Args:
            model: Whose passes are looked at; None is unknown.
            optimizer: Whose steps are; None where nothing is trained, or nobody said.
        """
        self._model, self._optimizer = model, optimizer
        self._turns = 0
        self._loader: LoaderFacts | None = None
        self._whole: int | None = None
        self._size: int | None = None
        self._passes = _Passes()
        self._updates = _Updates()
        self._hooks: list[Any] = []
        self._pass_hook = None if model is None else model.register_forward_hook(self._passes)
        inner = unwrapped(optimizer)
        self._counts_steps = isinstance(inner, torch.optim.Optimizer)  # other libraries have classes of their own
        if self._counts_steps:
            self._hooks.append(inner.register_step_post_hook(self._has_stepped))
        self._versions = self._versions_now()

    def takes(self, loader: Iterable[Any]) -> None:
        """The loop goes over this loader.

        Args:
            loader: Anything that gives batches; one that is no ``DataLoader`` says nothing of itself.
        """
        facts = loader_facts(loader)
        if facts is not None:
            self._loader, self._whole = facts, _length(getattr(loader, "dataset", None))

    def has_turned(self, batch: object, samples: int | None) -> bool:
        """A turn of the loop is over; the first batch tells how large they are.

        Args:
            batch: Any tree of tensors, or anything else, which tells nothing.
            samples: In it; None is unknown.

        Returns:
            True when nothing more needs to be looked at.
        """
        self._turns += 1
        if self._size is None and samples:
            self._size = samples
            if self._loader is not None and self._whole is not None:
                self._loader = replace(self._loader, data_bytes=bytes_of(batch) * self._whole // samples or None)
        return self._turns >= _TURNS and (not self._counts_steps or self._updates.count >= _OPTIMIZER_STEPS)

    def facts(self) -> LoopFacts:
        """What is known by now."""
        return LoopFacts(
            mode=self._mode(),
            loader=self._loader,
            model=None if self._model is None else model_facts(self._model),
            micro_batch_size=self._size,
            gradient_accumulation_steps=self._updates.turns_of_one(),
            precision=self._passes.precision,
            keeps_gradients=self._updates.keeps_gradients,
            keeps_graph=self._passes.needs_gradients,
        )

    def close(self) -> None:
        """Take the hooks away. May be called twice.

        One that was never called stays: it may have been compiled away with the model, and taking it away would have the model
        compiled once more.
        """
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self._pass_hook is not None and self._passes.was_called:
            self._pass_hook.remove()

    def _has_stepped(self, optimizer: torch.optim.Optimizer, _args: Any, _settings: Any) -> None:
        self._updates.add(optimizer, self._turns)

    def _mode(self) -> Mode:
        """Nothing is trained where weights stay as they are and get no gradients, turn after turn."""
        if self._model is None or self._optimizer is not None or self._turns < 2:
            return "train"
        has_gradients = any(parameter.grad is not None for parameter in self._model.parameters())
        return "train" if has_gradients or self._versions != self._versions_now() else "inference"

    def _versions_now(self) -> int:
        """Grows with each change of a weight."""
        return 0 if self._model is None else sum(parameter._version for parameter in self._model.parameters())  # noqa: SLF001


class _Passes:
    """A hook behind the forward pass. In a copy of the model, and in a file of it, it does nothing."""

    def __init__(self) -> None:
        self.precision: PrecisionName | None = None
        self.needs_gradients: bool | None = None
        self._left = _FORWARDS

    def __call__(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        if not self._left or torch.compiler.is_compiling():
            return
        self._left -= 1
        weight = next(module.parameters(), None)
        if weight is not None:
            self.precision = _precision_of(weight)
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.needs_gradients = any(tensor.requires_grad for tensor in tensors)

    @property
    def was_called(self) -> bool:
        """The model runs as it is written, not compiled."""
        return self._left < _FORWARDS

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _idle_hook, ()


class _Updates:
    """Steps of the optimizer: how many turns make one, and whether gradients live on from one to the next."""

    def __init__(self) -> None:
        self.count = 0
        self.keeps_gradients: bool | None = None
        self._first_turn = self._last_turn = 0
        self._gradient: weakref.ref[Tensor] | None = None

    def add(self, optimizer: torch.optim.Optimizer, turn: int) -> None:
        """A step was made in this turn; those after the third are like the first."""
        if self.count >= _OPTIMIZER_STEPS:
            return
        self.count += 1
        if self.count == 1:
            self._first_turn = turn
        self._last_turn = turn
        gradient = _any_gradient(optimizer)
        if self._gradient is not None and gradient is not None:  # a new tensor where the old one was dropped
            self.keeps_gradients = self._gradient() is gradient
        self._gradient = None if gradient is None else weakref.ref(gradient)

    def turns_of_one(self) -> int | None:
        """Turns of the loop behind one step; None is unknown, or not always as many."""
        turns, steps = self._last_turn - self._first_turn, self.count - 1
        return turns // steps if steps > 0 and turns > 0 and turns % steps == 0 else None


def unwrapped(optimizer: Any) -> Any:
    """The optimizer that makes the steps, where a library has put a shell of its own around it, as Accelerate does.

    Args:
        optimizer: Any; None is none.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    return inner if isinstance(inner, torch.optim.Optimizer) else optimizer


def loader_facts(loader: Iterable[Any]) -> LoaderFacts | None:
    """How a ``DataLoader``, or what wraps one under the same names, gets its batches; None for anything else.

    Args:
        loader: Anything that gives batches.

    >>> from torch.utils.data import DataLoader
    >>> loader_facts(DataLoader([0, 1], num_workers=0)), loader_facts([0, 1])
    (LoaderFacts(workers=0, pins_memory=False, persistent_workers=False, data_bytes=None), None)
    """
    workers = getattr(loader, "num_workers", None)
    if not isinstance(workers, int):
        return None
    pins, persistent = (bool(getattr(loader, name, False)) for name in ("pin_memory", "persistent_workers"))
    return LoaderFacts(workers, pins, persistent)


def _length(dataset: object) -> int | None:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):  # a stream
        return None


def _precision_of(weight: Tensor) -> PrecisionName | None:
    """As the forward pass computes now; None where the weights themselves are of another format."""
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return _BY_DTYPE.get(torch.get_autocast_dtype(kind))
    if weight.dtype is not torch.float32:
        return None
    return "tf32" if kind == "cuda" and torch.get_float32_matmul_precision() != "highest" else "fp32"


_BY_DTYPE: dict[torch.dtype, PrecisionName] = {torch.bfloat16: "bf16", torch.float16: "fp16"}


def _any_gradient(optimizer: torch.optim.Optimizer) -> Tensor | None:
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return next((parameter.grad for parameter in parameters if parameter.grad is not None), None)


def _idle_hook() -> Callable[..., None]:
    return _nothing


def _nothing(*_: Any) -> None:
    """Stands in a copied model where the hook was."""
