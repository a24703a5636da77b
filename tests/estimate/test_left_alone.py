"""After any estimate, also a failed or interrupted one, everything of the user's is as it was, bit by bit."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab import estimate_memory
from bigmodel_lab.errors import TraceError
from bigmodel_lab.estimate._models import resolve_model
from bigmodel_lab.models import MODELS

X, Y = torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)
Make = Callable[[], nn.Module]


class Base(nn.Module):
    """A layer of eight inputs and three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        scores: Tensor = self.norm(self.layer(x))
        return scores


class Counts(Base):
    """Changes attributes in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.log, self.lock = 0, list[Any](), threading.Lock()
        self.total, self.table = torch.tensor(0), torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, and everything that a module may do to itself."""
        self.kept = super().forward(x)
        self.calls += 1
        self.log.append(self.kept)
        with self.lock:
            self.total += 1
            self.table[0] += 1
        self.layer.weight.data.mul_(0.5)
        return self.kept


class Draws(Base):
    """Takes random numbers from everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.of_python = torch.Generator().manual_seed(1), random.Random(1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores with noise."""
        torch.manual_seed(random.randrange(9))
        noise = self.of_python.random() + np.random.rand()  # noqa: NPY002
        return F.dropout(super().forward(x)) + noise + torch.rand(3, generator=self.own)


def kept_activation() -> nn.Module:
    """After one real forward pass."""
    model = Counts()
    model(X)
    return model


def wrapped() -> nn.Module:
    """By a closure on the instance."""
    model = Base()
    usual = model.forward
    model.forward = lambda x: usual(x) * 1  # type: ignore[method-assign]
    return model


def hooked() -> nn.Module:
    """A hook that writes into the model."""
    model = Counts()
    model.layer.register_forward_hook(lambda _m, _i, out: model.log.append(out))
    return model


def frozen() -> nn.Module:
    """Partly, in evaluation, with gradients of a real step."""
    model = Base()
    model(X).sum().backward()
    model.layer.bias.requires_grad_(False)
    return model.eval()


ODD: list[Make] = [
    Base,
    Counts,
    Draws,
    kept_activation,
    wrapped,
    hooked,
    frozen,
    lambda: nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))),
    lambda: nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(8, 3))),
]


def fingerprint(value: Any, seen: set[int] | None = None) -> Any:
    """Everything that can be seen of a model: tensors with data, gradients and identity, attributes, hooks, flags."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        data = value.detach().flatten().view(torch.uint8).tolist() if value.dim() else [value.item()]
        return (
            type(value),
            id(value),
            value.requires_grad,
            value._version,
            data,
            fingerprint(value.grad) if value.is_leaf else (),
        )
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if id(value) in seen:
        return id(value)
    seen.add(id(value))
    if isinstance(value, dict):
        return [(key, fingerprint(inner, seen)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [fingerprint(inner, seen) for inner in value]
    if isinstance(value, nn.Module):
        return type(value), id(value), fingerprint(vars(value), seen)
    return value if isinstance(value, int | float | str | bool) else id(value)


def process() -> tuple[object, ...]:
    """Random numbers and modes."""
    numbers = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    return (*numbers, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype())


def fine(model: nn.Module, batch: Any) -> Tensor:
    """A loss."""
    return F.cross_entropy(model(batch[0]), batch[1])


def refused(model: nn.Module, batch: Any) -> Tensor:
    """What cannot be followed, after the forward pass."""
    return fine(model, batch) + batch[1].bincount().sum()


def broken(model: nn.Module, batch: Any) -> Tensor:
    """The step's own error, with modes that it leaves behind."""
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    fine(model.train(), batch)
    raise KeyError("own")


def interrupted(model: nn.Module, batch: Any) -> Tensor:
    """A click on the button in the backward pass."""
    loss = fine(model, batch)
    loss.register_hook(lambda _: _interrupt())
    return loss


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("step", "ends"), [(fine, None), (refused, TraceError), (broken, TraceError), (interrupted, KeyboardInterrupt)]
)
@pytest.mark.parametrize("make", ODD)
def test_odd_models_are_left_alone(make: Make, step: Callable[..., Tensor], ends: type[BaseException] | None) -> None:
    """Whatever becomes of the estimate: model, batch, random numbers and modes."""
    model, batch = make(), (X.clone().requires_grad_(), Y.clone())
    before = fingerprint(model), fingerprint(batch), process()
    if ends is None:
        estimate_memory(model, batch, step=step, optimizer="sgd")
    else:
        with pytest.raises(ends):
            estimate_memory(model, batch, step=step, optimizer="sgd")

    assert (fingerprint(model), fingerprint(batch), process()) == before


@pytest.mark.parametrize("name", MODELS.names())
def test_documented_models_are_left_alone(name: str) -> None:
    """A real model of each kind, up to the error at the end of its step."""
    source = resolve_model(name)
    assert source.example is not None
    model = MODELS.get(name).build()
    tensors = [*model.parameters(), *model.buffers()]
    before = [(id(t), t.requires_grad, t._version, t.detach().clone()) for t in tensors], process()

    estimate_memory(model, source.example(2), loss=source.loss.loss, optimizer="sgd")  # type: ignore[union-attr]
    after = [*model.parameters(), *model.buffers()]

    assert all(
        (id(t), t.requires_grad, t._version) == kept[:3] and torch.equal(t, kept[3]) and t.grad is None
        for t, kept in zip(after, before[0], strict=True)
    )
    assert process() == before[1]


@pytest.mark.parametrize("make", ODD)
def test_training_goes_on_with_the_same_losses(make: Make) -> None:
    """As if nobody had asked."""

    def losses(*, asked: bool) -> list[float]:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model = make()
        if asked:
            estimate_memory(model, (X, Y), optimizer="sgd")
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        found = []
        for _ in range(2):
            loss = F.cross_entropy(model(X), Y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            found.append(loss.item())
        return found

    assert losses(asked=True) == losses(asked=False)


def test_a_loader_with_a_generator_of_its_own_is_left_alone() -> None:
    """What it draws to shuffle is put back, be it the process's numbers or its own."""
    model, data = nn.Linear(8, 3), torch.utils.data.TensorDataset(X, Y)
    own = torch.Generator().manual_seed(1)
    before = process(), own.get_state().tolist()
    estimate_memory(model, torch.utils.data.DataLoader(data, 2, shuffle=True))
    estimate_memory(model, torch.utils.data.DataLoader(data, 2, shuffle=True, generator=own))

    assert (process(), own.get_state().tolist()) == before


def test_the_users_optimizer_is_left_alone() -> None:
    """One that a function gives back, with the state of real steps."""
    model = nn.Linear(8, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(X).sum().backward()
    optimizer.step()
    before = (
        fingerprint(optimizer.state_dict()),
        len(optimizer._optimizer_step_pre_hooks),
        dict(optimizer.param_groups[0]),
    )

    estimate_memory(model, (X, Y), optimizer=lambda _: optimizer)

    assert (
        fingerprint(optimizer.state_dict()),
        len(optimizer._optimizer_step_pre_hooks),
        dict(optimizer.param_groups[0]),
    ) == before


def test_a_batch_that_needs_a_gradient_gets_one() -> None:
    """Reentrant checkpointing recomputes only what such a batch goes through."""

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 3))

        def forward(self, x: Tensor) -> Tensor:
            """Twice."""
            out: Tensor = torch.utils.checkpoint.checkpoint(self.wide, x, use_reentrant=True)
            return out

    x, y = torch.zeros(2048, 8), torch.zeros(2048, dtype=torch.int64)
    given = estimate_memory(Checkpointed(), (x.clone().requires_grad_(), y))
    inside = estimate_memory(Checkpointed(), (x, y), step=lambda m, b: F.cross_entropy(m(b[0].requires_grad_()), b[1]))

    assert abs(given.peak_allocated_bytes / inside.peak_allocated_bytes - 1) < 0.01
