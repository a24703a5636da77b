"""What a step gives back, and what it does besides."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import BigModelLabError, ConfigError, TraceError
from bigmodel_lab.estimate import MemoryEstimate, estimate_memory

X, Y = torch.ones(64, 32), torch.zeros(64, dtype=torch.long)
WEIGHTS = 32 * 16 * 4


def model() -> nn.Module:
    """A layer."""
    return nn.Linear(32, 16, bias=False)


def loss(m: nn.Module, x: Tensor) -> Tensor:
    """A scalar."""
    return m(x).square().mean()


def estimate(step: Any, **more: Any) -> MemoryEstimate:
    """Of a step of one's own."""
    return estimate_memory(model(), X, step=step, **{"optimizer": "sgd", **more})


def backward_passes(made: MemoryEstimate) -> int:
    """Of the first step."""
    return [(m.phase, m.step) for m in made.trace.marks].count(("backward", 0))


GIVEN_BACK = {
    "dict": lambda m, x: {"loss": loss(m, x), "name": "a"},
    "losses by name": lambda m, x: {"one": loss(m, x), "two": loss(m, x)},
    "object": lambda m, x: SimpleNamespace(loss=loss(m, x)),
    "tuple": lambda m, x: (loss(m, x), 1),
    "one element": lambda m, x: loss(m, x).reshape(1),
    "vector": lambda m, x: m(x).square().mean(1),
}


@pytest.mark.parametrize("step", GIVEN_BACK.values(), ids=GIVEN_BACK)
def test_a_loss_is_found_in_what_a_step_gives_back(step: Any) -> None:
    """Backward starts from it, once."""
    made = estimate(step)

    assert backward_passes(made) == 1
    assert any(a.category == "gradient" and a.bytes == WEIGHTS for a in made.trace.allocations)


NO_LOSS = {
    "None": lambda m, x: None,
    "float": lambda m, x: loss(m, x).item(),
    "detached": lambda m, x: loss(m, x).detach(),
    "matrix": lambda m, x: m(x),
    "complex": lambda m, x: loss(m, x) * 1j,
    "names without a loss": lambda m, x: {"scores": m(x)},
}


@pytest.mark.parametrize("step", NO_LOSS.values(), ids=NO_LOSS)
def test_what_is_no_loss_is_refused_with_what_is_one(step: Any) -> None:
    """The message says what came and what is wanted."""
    with pytest.raises(ConfigError, match=r"gave back .*one number"):
        estimate(step)


@pytest.mark.parametrize(
    "given", [{"loss": 5}, {"step": 5}, {"loss": nn.CrossEntropyLoss}, {"optimizer": 5}, {"optimizer": lambda m: None}]
)
def test_what_is_no_function_is_refused(given: dict[str, Any]) -> None:
    """A number, a class in the place of its instance, a function that makes no optimizer."""
    with pytest.raises(BigModelLabError):
        estimate_memory(model(), (X, Y), **given)


def goes_back(m: nn.Module, x: Tensor) -> float:
    """Makes its backward pass itself."""
    found = loss(m, x)
    found.backward()
    return found.item()


def does_all(m: nn.Module, x: Tensor) -> None:
    """Makes its update, too."""
    optimizer = torch.optim.Adam(m.parameters())
    loss(m, x).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_backward_pass_of_its_own_is_not_made_twice() -> None:
    """It takes what the same step takes whose loop goes back."""
    own, usual = estimate(goes_back), estimate(loss)

    assert backward_passes(own) == backward_passes(usual) == 1
    assert own.peak_allocated_bytes == pytest.approx(usual.peak_allocated_bytes, rel=0.001)
    assert any("backward pass itself" in note for note in own.notes)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_an_update_of_its_own_is_the_only_one(precision: str) -> None:
    """The named optimizer has no state."""
    made = estimate(does_all, optimizer="adamw", precision=precision)

    assert not any(a.category == "optimizer_state" for a in made.trace.allocations)
    assert any("optimizer's step itself" in note for note in made.notes)


class _Holder:
    """Classes are not copied, and neither is what they keep."""

    optimizer: torch.optim.Optimizer


@pytest.mark.parametrize("is_found", [True, False])
def test_an_optimizer_over_the_user_s_own_weights_never_steps_them(is_found: bool) -> None:
    """Its copy steps the copied ones; where it cannot be found in the program, it is stopped before its step."""
    mine = model()
    optimizer = _Holder.optimizer = torch.optim.SGD(mine.parameters(), lr=1.0)
    mine.weight.grad = torch.ones_like(mine.weight)  # type: ignore[union-attr, assignment, arg-type]
    before = mine.get_parameter("weight").detach().clone()

    def step(m: nn.Module, x: Tensor) -> Tensor:
        found = loss(m, x)
        found.backward()
        (optimizer if is_found else _Holder.optimizer).step()
        return found.detach()

    if is_found:
        assert any("optimizer's step itself" in note for note in estimate_memory(mine, X, step=step).notes)
    else:
        with pytest.raises(ConfigError, match=r"SGD\.step"):
            estimate_memory(mine, X, step=step)
    assert torch.equal(mine.get_parameter("weight"), before)


def test_what_a_step_gives_back_beside_its_loss_lives_on() -> None:
    """As in a loop that names it; a loss alone is let go of with its graph."""
    wide = partial(nn.Linear, 32, 4096, bias=False)
    alone = estimate_memory(wide, X, step=lambda m, x: m(x).exp().mean(), optimizer="sgd")
    both = estimate_memory(wide, X, step=lambda m, x: ((out := m(x)).exp().mean(), out), optimizer="sgd")

    assert both.peak_allocated_bytes - alone.peak_allocated_bytes == 64 * 4096 * 4


@pytest.mark.parametrize(
    "given", [{"loss": F.cross_entropy}, {"step": lambda m, b: F.cross_entropy(m(b[0]), b[1])}], ids=["loss", "step"]
)
def test_no_output_of_a_micro_batch_outlives_its_turn(given: dict[str, Any]) -> None:
    """Eight take what two take."""
    wide = partial(nn.Linear, 32, 4096, bias=False)
    two, eight = (
        estimate_memory(wide, (X, Y), optimizer="sgd", gradient_accumulation_steps=count, **given).peak_allocated_bytes
        for count in (2, 8)
    )

    assert eight - two <= 8 * 1024


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda m, x: 1 + "a", "TypeError"),
        (lambda m, x: m(x[:, :3]), "RuntimeError"),
        (lambda m, x: x["a"], "Error"),
        (lambda m, x: m.nothing, "AttributeError"),
    ],
)
def test_an_error_of_the_step_is_quoted_with_its_line(step: Any, said: str) -> None:
    """What the program raised, and where."""
    with pytest.raises(TraceError, match=rf"{said}.*line \d+") as caught:
        estimate(step)

    assert caught.value.__cause__ is not None


OPTIMIZERS = {
    "class": lambda m: torch.optim.Adam,
    "class with settings": lambda m: partial(torch.optim.Adam, lr=0.1),
    "instance": lambda m: torch.optim.Adam(m.parameters()),
    "function": lambda m: lambda copied: torch.optim.Adam(copied.parameters()),
}


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_way_to_name_an_optimizer_has_its_states(kind: Any) -> None:
    """Two for each weight."""
    mine = model()
    made = estimate_memory(mine, X, step=loss, optimizer=kind(mine))

    assert sum(a.bytes for a in made.trace.allocations if a.category == "optimizer_state") == 2 * WEIGHTS


def test_an_optimizer_over_other_weights_is_refused() -> None:
    """They are not the model's."""
    with pytest.raises(ConfigError, match="not the model's"):
        estimate_memory(model(), X, step=loss, optimizer=torch.optim.Adam(model().parameters()))
