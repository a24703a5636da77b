"""Which loss a step has."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._losses import forward_only, step_of
from bigmodel_lab.training.objectives import Objective
from tests.estimate.plans import source

X = torch.randn(4, 3)
CLASSES = torch.tensor([0, 1, 0, 1])
MODEL = nn.Linear(3, 2)


def loss_of(batch: Any, model: nn.Module = MODEL, **given: Any) -> Tensor:
    """What backward would start from."""
    step = step_of(source(), batch, given.get("step"), given.get("loss"))
    if isinstance(step, Objective):
        return step.loss(model(batch[0]), batch[1])
    return step(model, batch)


def test_whole_numbers_are_classes() -> None:
    """Cross-entropy."""
    assert torch.equal(loss_of((X, CLASSES)), F.cross_entropy(MODEL(X), CLASSES))


def test_other_numbers_are_values() -> None:
    """Mean squared error."""
    targets = torch.randn(4, 2)

    assert torch.equal(loss_of((X, targets)), F.mse_loss(MODEL(X), targets))


def test_tokens_for_scores_at_every_place() -> None:
    """(samples, length) whole numbers for (samples, length, vocabulary) scores."""
    x, tokens = torch.randn(2, 5, 3), torch.zeros(2, 5, dtype=torch.int64)
    expected = F.cross_entropy(MODEL(x).flatten(0, 1), tokens.flatten())

    assert torch.allclose(loss_of((x, tokens)), expected)


def test_a_loss_of_one_s_own() -> None:
    """Of (output, targets)."""
    assert torch.equal(loss_of((X, CLASSES), loss=lambda out, y: out.sum() * len(y)), MODEL(X).sum() * 4)


def test_a_step_of_one_s_own_comes_first() -> None:
    """Before the model's own loss."""
    own = replace(source(), loss=lambda model, batch: torch.zeros(()))
    step = step_of(own, X, lambda model, batch: model(batch).mean(), None)

    assert not isinstance(step, Objective)
    assert torch.equal(step(MODEL, X), MODEL(X).mean())


def test_the_model_s_own_loss_comes_before_the_usual_one() -> None:
    """As of documented models."""

    def own(model: nn.Module, batch: Any) -> Tensor:
        return torch.zeros(())

    assert step_of(replace(source(), loss=own), (X, CLASSES), None, None) is own


class Returning(nn.Module):
    """A model that takes names and returns what it is told to."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, **_inputs: Tensor) -> Any:
        """Whatever it gets."""
        return self.output


@pytest.mark.parametrize(
    "output", [{"loss": torch.tensor(2.0)}, SimpleNamespace(loss=torch.tensor(2.0)), torch.tensor(2.0)]
)
def test_a_mapping_is_spread_over_the_model_which_returns_its_loss(output: Any) -> None:
    """In a mapping, as an attribute, or alone."""
    assert float(loss_of({"x": X, "labels": CLASSES}, Returning(output))) == 2


@pytest.mark.parametrize("output", [SimpleNamespace(logits=X), X, None, SimpleNamespace(loss=None)])
def test_a_model_without_a_loss_is_told_how_to_get_one(output: Any) -> None:
    """Labels belong into the batch."""
    with pytest.raises(ConfigError, match=r"labels"):
        loss_of({"x": X}, Returning(output))


def test_a_batch_that_is_no_pair_needs_a_step() -> None:
    """Nobody can say what its loss is."""
    with pytest.raises(ConfigError, match="step=lambda"):
        step_of(source(), X, None, None)


@pytest.mark.parametrize("batch", [X, {"x": X}, (X, X, X)])
def test_a_loss_needs_a_pair(batch: Any) -> None:
    """Inputs and targets."""
    with pytest.raises(ConfigError, match="pair"):
        step_of(source(), batch, None, F.mse_loss)


def test_not_both() -> None:
    """A step has its loss already."""
    with pytest.raises(ConfigError, match="not both"):
        step_of(source(), (X, X), lambda model, batch: X.sum(), F.mse_loss)


def test_inference_takes_the_inputs_alone() -> None:
    """Of a pair; a mapping by its names; anything else as it is."""
    assert torch.equal(forward_only(MODEL, (X, CLASSES)), MODEL(X))
    assert torch.equal(forward_only(MODEL, X), MODEL(X))
    assert forward_only(Returning("out"), {"x": X}) == "out"
