"""Steps of a person's own loop, and of fit's, are the steps that those loops make."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.data import Data, from_arrays
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.tips._loops import FitLoop, OwnLoop
from bigmodel_lab.tips._real_samples import RealSamples
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.stepper import Stepper
from tests.training.fakes import CPU


def model() -> nn.Module:
    """Four numbers in, three out; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(4, 3)


def loss(learner: nn.Module, batch: Any) -> Tensor:
    """As a person's loop computes it."""
    found: Tensor = nn.functional.cross_entropy(learner(batch[0]), batch[1])
    return found


def batch(samples: int = 6) -> tuple[Tensor, Tensor]:
    """Numbers and labels."""
    made = torch.Generator().manual_seed(3)
    return torch.randn(samples, 4, generator=made), torch.arange(samples) % 3


def own(
    learner: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Any = loss,
    *,
    scaler: torch.amp.GradScaler | None = None,
    passes: int = 1,
) -> OwnLoop:
    """A person's own loop on the CPU."""
    return OwnLoop(
        learner,
        optimizer,
        step,
        RealSamples(batch()),
        scaler=scaler,
        passes=passes,
        host=nullcontext,
        device=torch.device("cpu"),
    )


def by_hand(optimizer: torch.optim.Optimizer, learner: nn.Module, data: Any, passes: int = 1) -> None:
    """The textbook's step."""
    optimizer.zero_grad()
    for _ in range(passes):
        loss(learner, data).backward()
    optimizer.step()


def weights(learner: nn.Module) -> list[list[float]]:
    """To the bit."""
    return [parameter.detach().flatten().tolist() for parameter in learner.parameters()]


@pytest.mark.parametrize("passes", [1, 2])
def test_a_step_is_that_of_the_textbook(passes: int) -> None:
    """Forward and backward as often as there are passes, then the optimizer."""
    ours, theirs = model(), model()
    own(ours, torch.optim.Adam(ours.parameters()), passes=passes).step_of(6)()
    by_hand(torch.optim.Adam(theirs.parameters()), theirs, batch(), passes)

    assert weights(ours) == weights(theirs)


def test_gradients_of_the_step_before_are_gone() -> None:
    """Two steps are two steps of the textbook."""
    ours, theirs = model(), model()
    step = own(ours, torch.optim.SGD(ours.parameters(), lr=0.1)).step_of(6)
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(2):
        step()
        by_hand(plain, theirs, batch())

    assert weights(ours) == weights(theirs)


def test_a_step_has_the_size_that_was_asked_for() -> None:
    """Samples are repeated."""
    seen: list[int] = []

    def step(learner: nn.Module, data: Any) -> Tensor:
        seen.append(data[0].shape[0])
        return loss(learner, data)

    learner = model()
    own(learner, torch.optim.SGD(learner.parameters()), step).step_of(17)()

    assert seen == [17]


def test_lbfgs_takes_its_closure() -> None:
    """Its step is a line search."""
    learner = model()
    before = loss(learner, batch()).item()
    own(learner, torch.optim.LBFGS(learner.parameters(), lr=0.1)).step_of(6)()

    assert loss(learner, batch()).item() < before


def test_a_scaler_scales_and_steps() -> None:
    """With the same weights as without."""
    ours, theirs = model(), model()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    own(ours, torch.optim.SGD(ours.parameters(), lr=0.1), scaler=scaler).step_of(6)()
    by_hand(torch.optim.SGD(theirs.parameters(), lr=0.1), theirs, batch())

    assert scaler.get_scale() == 1024.0
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_a_step_that_the_scaler_skips_is_no_step() -> None:
    """The gradients were infinite, and the optimizer has no state."""
    learner = model()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    loop = own(learner, torch.optim.Adam(learner.parameters()), lambda m, b: 1e3 * loss(m, b), scaler=scaler)
    loop.step_of(6)()

    assert not loop.has_stepped()


def test_without_a_scaler_every_step_is_one() -> None:
    """Nothing skips it."""
    learner = model()

    assert own(learner, torch.optim.Adam(learner.parameters())).has_stepped()


@pytest.mark.parametrize(("momentum", "stepped"), [(0.0, True), (0.9, False)])
def test_an_optimizer_without_a_state_needs_none(momentum: float, stepped: bool) -> None:
    """Plain gradient descent never has one; with momentum it does."""
    learner = model()
    optimizer = torch.optim.SGD(learner.parameters(), momentum=momentum)

    assert own(learner, optimizer, scaler=torch.amp.GradScaler("cpu")).has_stepped() is stepped


def test_gradients_are_let_go() -> None:
    """So that they do not lie there when the next size begins."""
    learner = model()
    loop = own(learner, torch.optim.SGD(learner.parameters()))
    loop.step_of(6)()
    loop.let_go()

    assert all(parameter.grad is None for parameter in learner.parameters())


def test_a_scaler_in_the_middle_of_a_step_is_let_go() -> None:
    """A step that ran out of memory behind unscaling would refuse the next one."""
    learner = model()
    optimizer, scaler = torch.optim.SGD(learner.parameters()), torch.amp.GradScaler("cpu")
    loop = own(learner, optimizer, scaler=scaler)
    scaler.scale(loss(learner, batch())).backward()
    scaler.unscale_(optimizer)
    loop.let_go()
    loop.step_of(6)()

    assert loop.has_stepped()


@pytest.mark.parametrize(
    ("step", "came"),
    [
        (lambda learner, data: 3.0, "float"),
        (lambda learner, data: learner(data[0]), r"\(6, 3\)"),
        (lambda learner, data: torch.tensor(1.0), r"\(\)"),
    ],
)
def test_a_step_must_give_the_loss(step: Any, came: str) -> None:
    """One number from which the backward pass can start."""
    learner = model()
    with pytest.raises(ConfigError, match=rf"gave back {came}, but it must give the loss"):
        own(learner, torch.optim.SGD(learner.parameters()), step).step_of(6)()


def data() -> Data:
    """Forty samples of four numbers in three classes."""
    made = torch.Generator().manual_seed(1)
    return from_arrays((torch.randn(40, 4, generator=made), torch.arange(40) % 3))


def stepper(**settings: Any) -> Stepper:
    """Of fit, on the CPU."""
    return Stepper(model(), data(), TrainConfig(**{"optimizer": "adam", **settings}), device=CPU)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_step_of_fit_takes_any_number_of_samples(size: int) -> None:
    """Also more than there are: they are taken again."""
    made = stepper()
    seen: list[int] = []
    take = made._train.take
    made._train.take = lambda indices: seen.append(len(indices)) or take(indices)  # type: ignore[method-assign, func-returns-value]
    FitLoop(made).step_of(size)()

    assert seen == [size]


def test_a_step_of_fit_with_accumulation_has_two_passes() -> None:
    """From the second on a pass runs beside the gradients of the first; more of them take no more."""
    made = stepper(gradient_accumulation_steps=8)
    seen: list[int] = []
    take = made._train.take
    made._train.take = lambda indices: seen.append(len(indices)) or take(indices)  # type: ignore[method-assign, func-returns-value]
    FitLoop(made).step_of(5)()

    assert seen == [5, 5]


def test_a_step_of_fit_is_the_steppers_own() -> None:
    """The same weights come out."""
    ours, theirs = stepper(micro_batch_size=8), stepper(micro_batch_size=8)
    FitLoop(ours).step_of(8)()
    theirs.make_step(torch.arange(8))

    assert weights(ours.model) == weights(theirs.model)


def test_gradients_of_a_step_of_fit_are_let_go() -> None:
    """As those of one's own loop."""
    made = stepper()
    loop = FitLoop(made)
    loop.step_of(8)()
    loop.let_go()

    assert all(parameter.grad is None for parameter in made.model.parameters())


def test_in_fp32_every_step_of_fit_is_one() -> None:
    """Only fp16 has a scaler."""
    assert FitLoop(stepper()).has_stepped()
