"""Everything that a foreign training loop changes comes back to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bigmodel_lab.training.whole_state import WholeState, untouched


class Counting(nn.Module):
    """Replaces a buffer that no checkpoint holds, and counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (samples, 4)."""
        self.passes += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.norm(nn.functional.dropout(self.layer(x), training=self.training))


MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.1), foreach=False),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None) -> None:
    """Two steps that change all that there is."""
    for _ in range(2):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.randn(8, 4)).square().sum()
            (loss if scaler is None else scaler.scale(loss)).backward()
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
            continue
        closure()
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.5
    random.random()
    np.random.random()  # noqa: NPY002 (the global numbers are meant)


def numpy_state() -> list[int]:
    """Of NumPy's global random numbers."""
    words: list[int] = np.random.get_state()[1].tolist()  # noqa: NPY002 (the global numbers are meant)
    return words


def zero_and_fail(model: Counting) -> None:
    """Change the weights inside the block, and break off."""
    with untouched(model):
        model.layer.weight.data.zero_()
        raise KeyError


def picture(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """All tensors and values, in a form that ``==`` compares to the bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().clone().tolist(), str(value.dtype)
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return [
        [plain(one) for one in model.parameters()],
        {name: plain(one) for name, one in model.named_buffers()},
        [plain(one.grad) for one in model.parameters()],
        [one.requires_grad for one in model.parameters()],
        [module.training for module in model.modules()],
        plain(optimizer.state_dict()),
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_a_fresh_optimizer_is_fresh_again(name: str) -> None:
    """Weights, buffers and the optimizer without a state come back."""
    model = Counting()
    optimizer = MAKERS[name](model.parameters())
    before = picture(model, optimizer)
    with untouched(model, optimizer):
        train(model, optimizer)

    assert picture(model, optimizer) == before


@pytest.mark.parametrize("name", MAKERS)
def test_the_state_of_an_optimizer_in_use_comes_back(name: str) -> None:
    """In the middle of a training, with gradients that wait."""
    model = Counting()
    optimizer = MAKERS[name](model.parameters())
    train(model, optimizer)
    before = picture(model, optimizer)
    with untouched(model, optimizer):
        train(model, optimizer)

    assert picture(model, optimizer) == before


def test_a_state_may_be_put_back_more_than_once() -> None:
    """The second time everything is as the first time."""
    model = Counting()
    optimizer = MAKERS["adam"](model.parameters())
    train(model, optimizer)
    before, saved = picture(model, optimizer), WholeState(model, optimizer)
    for _ in range(2):
        train(model, optimizer)
        saved.restore()

    assert picture(model, optimizer) == before


def test_tensors_stay_the_objects_that_they_are() -> None:
    """Whoever holds a weight, a buffer or a state of the optimizer need not know."""
    model = Counting()
    optimizer = MAKERS["adam"](model.parameters())
    train(model, optimizer)
    state = optimizer.state[model.layer.weight]["exp_avg"]
    held = [*model.parameters(), *model.buffers(), state]
    with untouched(model, optimizer):
        train(model, optimizer)
    now = [*model.parameters(), *model.buffers(), optimizer.state[model.layer.weight]["exp_avg"]]

    assert all(one is other for one, other in zip(held, now, strict=True))


def test_groups_of_parameters_stay_the_objects_that_they_are() -> None:
    """A schedule holds them."""
    model = Counting()
    optimizer = MAKERS["sgd"](model.parameters())
    group = optimizer.param_groups[0]
    with untouched(model, optimizer):
        train(model, optimizer)

    assert optimizer.param_groups[0] is group


def test_counters_of_a_module_come_back() -> None:
    """Plain values that a forward pass changes, too."""
    model = Counting()
    model(torch.randn(8, 4))
    with untouched(model):
        model(torch.randn(8, 4))

    assert model.passes == 1


def test_modes_and_frozen_parameters_come_back() -> None:
    """What the block trains and unfreezes is as it was."""
    model = Counting().eval()
    model.layer.weight.requires_grad_(False)
    with untouched(model):
        model.train()
        model.layer.weight.requires_grad_(True)

    assert not model.norm.training
    assert not model.layer.weight.requires_grad


def test_random_numbers_go_on_where_they_were() -> None:
    """Of torch, Python and NumPy."""
    model = Counting()
    state = torch.get_rng_state(), random.getstate(), numpy_state()
    with untouched(model):
        train(model, MAKERS["adam"](model.parameters()))

    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert numpy_state() == state[2]


def test_a_generator_of_a_loader_goes_on_where_it_was() -> None:
    """It is given by the caller."""
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    with untouched(nn.Linear(1, 1), generators=[generator]):
        torch.randperm(5, generator=generator)

    assert torch.equal(generator.get_state(), before)


def test_a_scaler_in_use_comes_back() -> None:
    """Its scale, how long it has held, and how far it is in a step."""
    model = Counting()
    optimizer = MAKERS["sgd"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    train(model, optimizer, scaler)
    before = scaler.state_dict()
    with untouched(model, optimizer, scaler):
        train(model, optimizer, scaler)

    assert scaler.state_dict() == before


def test_a_scaler_stopped_within_a_step_stays_there() -> None:
    """A person may be between unscaling and stepping."""
    model = Counting()
    optimizer = MAKERS["sgd"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(model(torch.randn(8, 4)).sum()).backward()
    scaler.unscale_(optimizer)
    with untouched(model, optimizer, scaler):
        scaler._per_optimizer_states.clear()
        train(model, optimizer, scaler)

    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)


def test_a_scaler_not_yet_used_is_new_again() -> None:
    """Its tensors are born at its first use."""
    model = Counting()
    optimizer = MAKERS["sgd"](model.parameters())
    scaler = torch.amp.GradScaler("cpu")
    with untouched(model, optimizer, scaler):
        train(model, optimizer, scaler)

    assert scaler._scale is None


def test_an_expanded_buffer_is_no_trouble() -> None:
    """One number that stands for many is written once."""
    model = nn.Linear(1, 1)
    model.register_buffer("mask", torch.ones(1, 1).expand(3, 4))
    with untouched(model):
        pass

    assert model.mask.sum() == 12


def test_an_error_in_the_block_changes_nothing() -> None:
    """Everything comes back all the same."""
    model = Counting()
    before = model.layer.weight.detach().clone()
    with pytest.raises(KeyError):
        zero_and_fail(model)

    assert torch.equal(model.layer.weight, before)
