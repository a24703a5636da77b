"""Everything that training steps change, of a model and a loop that are somebody else's: kept, and put back to the bit.

:class:`~bigmodel_lab.training.snapshot.Snapshot` does the same for our own loop, which knows what its steps change.
Here nothing is known, so all that a step can change is kept, where a tensor was before it lies again afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from bigmodel_lab.training.randomness import SharedRandomness
from bigmodel_lab.training.snapshot import on_host

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Values that are replaced and never changed."""
_STAGES = "_per_optimizer_states"
"""Where a scaler notes how far it is in a step."""


class WholeState:
    """Weights, buffers, gradients, modes and counters of a model; optimizer, scaler and random numbers.

    Tensors are copied to main memory, and put back into the tensor objects that they were. Gradients come back as new
    tensors of the same values, so that the old ones need not lie on the device meanwhile.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    >>> before = WholeState(model)
    >>> _ = model(torch.randn(4, 2))
    >>> before.restore()
    >>> int(model[1].num_batches_tracked)
    0
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        scaler: torch.amp.GradScaler | None = None,
        generators: Iterable[torch.Generator] = (),
    ) -> None:
        """Copy everything; waits for the device. Under a simulated card, inside its ``host()``.

        Args:
            model: Any module.
            optimizer: Over its parameters; None for none.
            scaler: Of the gradients; None for none.
            generators: Random numbers besides the global ones, as a loader may have them.
        """
        parameters = list(model.parameters())
        kept: list[Callable[[], None]] = [_registered(module) for module in model.modules()]
        kept += [_in_place(tensor) for tensor in (*parameters, *model.buffers())]
        kept += [_requires_grad(parameter) for parameter in parameters]
        kept += [_gradient(parameter) for parameter in parameters]
        if optimizer is not None:
            kept.append(_optimizer(optimizer))
        if scaler is not None:
            kept.append(_scaler(scaler))
        kept += [_generator(generator) for generator in generators]
        kept.append(_random_numbers())
        self._put_back = kept

    def restore(self) -> None:
        """As everything was; may be called again."""
        with torch.no_grad():
            for put_back in self._put_back:
                put_back()


@contextmanager
def untouched(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    generators: Iterable[torch.Generator] = (),
) -> Iterator[WholeState]:
    """Whatever the block does, afterwards everything is as before, to the bit; also after an error.

    Args:
        model: As for :class:`WholeState`.
        optimizer: As there.
        scaler: As there.
        generators: As there.
    """
    before = WholeState(model, optimizer, scaler, generators)
    try:
        yield before
    finally:
        before.restore()


def _registered(module: nn.Module) -> Callable[[], None]:
    """Which tensors are the module's own, also where a step replaces a buffer by another tensor; its mode; its counters."""
    parameters, buffers = dict(module._parameters), dict(module._buffers)  # noqa: SLF001 (also those that are no part of state_dict)
    plain = _plain_values(module)

    def put_back() -> None:
        _refill(module._parameters, parameters)  # noqa: SLF001
        _refill(module._buffers, buffers)  # noqa: SLF001
        _refill_plain(module, plain)

    return put_back


def _in_place(tensor: Tensor) -> Callable[[], None]:
    dense = tensor.detach()
    if dense.layout == torch.strided:  # an expanded tensor has each number once
        twice = [stride == 0 and length > 1 for stride, length in zip(dense.stride(), dense.shape, strict=True)]
        dense = dense[tuple(slice(0, 1) if again else slice(None) for again in twice)]
    copy = on_host(dense)

    def put_back() -> None:
        dense.copy_(copy)

    return put_back


def _requires_grad(parameter: nn.Parameter) -> Callable[[], None]:
    learns = parameter.requires_grad

    def put_back() -> None:
        parameter.requires_grad_(learns)

    return put_back


def _gradient(parameter: nn.Parameter) -> Callable[[], None]:
    copy = None if parameter.grad is None else on_host(parameter.grad)
    device = None if parameter.grad is None else parameter.grad.device

    def put_back() -> None:
        parameter.grad = None if copy is None else copy.to(device, copy=True)

    return put_back


def _optimizer(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Its state to the bit: ``load_state_dict`` would give it the weights' number format."""
    states = {parameter: _tree(values) for parameter, values in optimizer.state.items()}
    groups = [{name: _tree(value) for name, value in group.items()} for group in optimizer.param_groups]
    plain = _plain_values(optimizer)

    def put_back() -> None:
        optimizer.state.clear()
        optimizer.state.update({parameter: value() for parameter, value in states.items()})
        del optimizer.param_groups[len(groups) :]
        for group, saved in zip(optimizer.param_groups, groups, strict=True):
            _refill(group, {name: value() for name, value in saved.items()})
        _refill_plain(optimizer, plain)

    return put_back


def _scaler(scaler: torch.amp.GradScaler) -> Callable[[], None]:
    """Every attribute, as a scaler has no other state; how far it is in a step lies in a table, which comes back as a new one."""
    table = getattr(scaler, _STAGES, None)
    saved = {name: _tree(value) for name, value in vars(scaler).items() if name != _STAGES}
    stages = {} if table is None else {number: dict(stage) for number, stage in table.items()}

    def put_back() -> None:
        _refill(vars(scaler), {name: value() for name, value in saved.items()})
        if isinstance(table, defaultdict):
            fresh = {number: dict(stage) for number, stage in stages.items()}
            setattr(scaler, _STAGES, defaultdict(table.default_factory, fresh))

    return put_back


def _generator(generator: torch.Generator) -> Callable[[], None]:
    state = generator.get_state()

    def put_back() -> None:
        generator.set_state(state)

    return put_back


def _random_numbers() -> Callable[[], None]:
    """Of torch on the CPU and on every card in use, of Python, and of NumPy."""
    shared = SharedRandomness("cpu")
    state = shared.state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]

    def put_back() -> None:
        shared.put(state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)

    return put_back


def _tree(values: Any) -> Callable[[], Any]:
    """Gives the same containers anew, with the same tensor objects in them, whose values are as they were."""
    tensors: list[Callable[[], None]] = []

    def keep(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and not isinstance(leaf, nn.Parameter):
            tensors.append(_in_place(leaf))
        return leaf

    kept = tree_map(keep, values)

    def give() -> Any:
        for put_back in tensors:
            put_back()
        return tree_map(lambda leaf: leaf, kept)

    return give


def _plain_values(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if isinstance(value, _PLAIN)}


def _refill_plain(thing: Any, saved: dict[str, Any]) -> None:
    """Attributes of plain values as they were; those that came meanwhile are gone."""
    now = vars(thing)
    for name in [name for name, value in now.items() if isinstance(value, _PLAIN) and name not in saved]:
        del now[name]
    now.update(saved)


def _refill(container: dict[str, Any], saved: dict[str, Any]) -> None:
    """The same dictionary with its entries of before, in their order."""
    container.clear()
    container.update(saved)
