"""Every setting is checked when it is given, and the message says what is allowed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import pytest
import torch

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.models import MODELS
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.optimizers import make_optimizer, optimizer_classes


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("epochs", 0, "from 1"),
        ("epochs", 2.5, "from 1"),
        ("epochs", True, "from 1"),
        ("micro_batch_size", -1, "from 1"),
        ("micro_batch_size", "64", "from 1"),
        ("gradient_accumulation_steps", 0, "from 1"),
        ("max_steps", 0, "from 1"),
        ("seed", -1, "from 0"),
        ("seed", 2**63, "from 0"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", math.nan, "above 0"),
        ("learning_rate", math.inf, "above 0"),
        ("learning_rate", "fast", "above 0"),
        ("precision", "fp8", r"fp32 \| tf32 \| bf16 \| fp16"),
        ("device", "", "auto"),
        ("validation_fraction", 1, "below 1"),
        ("test_fraction", -0.1, "below 1"),
    ],
)
def test_wrong_setting_names_value_and_what_is_allowed(name, value, allowed):
    """The message names the setting, the value that came, and what is allowed."""
    with pytest.raises(ConfigError, match=f"{name} is {value!r}, but must be: .*{allowed}"):
        TrainConfig(**{name: value})


def test_config_is_frozen():
    """Settings are replaced, never changed under a running training."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3


def test_every_field_is_documented():
    """Each setting has its docstring under it, so that help texts can be read from the source."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body
    after = {a.target.id: b for a, b in itertools.pairwise(body) if isinstance(a, ast.AnnAssign)}
    documented = [n for n, b in after.items() if isinstance(b, ast.Expr) and isinstance(b.value, ast.Constant)]

    assert documented == [field.name for field in dataclasses.fields(TrainConfig)]


def test_settings_go_over_the_models_defaults():
    """What the person gives wins over what the document says, which wins over the general default."""
    config = TrainConfig.from_settings({"epochs": 2}, MODELS.get("simple_cnn").defaults)

    assert (config.epochs, config.precision, config.micro_batch_size) == (2, "fp16", 64)


def test_unknown_setting_suggests_the_nearest():
    """A misspelt setting is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="'learning_rate'"):
        TrainConfig.from_settings({"learn_rate": 0.1})


def test_facts_are_json():
    """All settings can be written into the header of a run, whatever the optimizer's options."""
    facts = TrainConfig(optimizer="sgd", optimizer_options={"momentum": 0.9, "odd": object()}).facts

    assert json.loads(json.dumps(facts))["optimizer_options"]["momentum"] == 0.9


def test_unknown_optimizer_lists_those_that_exist():
    """A misspelt optimizer is answered with the nearest one and the whole list."""
    with pytest.raises(UnknownNameError, match=r"'adamw'.*rmsprop.*sgd"):
        TrainConfig(optimizer="adamww")


@pytest.mark.parametrize("name", ["lbfgs", "sparseadam"])
def test_unsuitable_optimizer_says_why(name):
    """An optimizer that needs another kind of step is refused with the reason."""
    with pytest.raises(ConfigError, match=f"'{name}' cannot be used here: it"):
        TrainConfig(optimizer=name)


@pytest.mark.parametrize("name", optimizer_classes())
def test_every_optimizer_makes_a_step(name):
    """Each optimizer on the list moves the weights of a small model."""
    weight = torch.nn.Parameter(torch.ones(4, 4))
    optimizer = make_optimizer(name, [weight], 0.01, {})
    (weight**2).sum().backward()
    optimizer.step()

    assert not torch.equal(weight.detach(), torch.ones(4, 4))
    assert type(optimizer).__name__.lower() == name


def test_refused_options_are_quoted():
    """Options that torch refuses come back with torch's own words."""
    with pytest.raises(ConfigError, match=r"'adam'.*\{'momentum': 0.9\}.*momentum"):
        make_optimizer("adam", [torch.nn.Parameter(torch.ones(1))], 0.1, {"momentum": 0.9})


def test_frozen_parameters_are_left_out():
    """Only what is trainable costs optimizer memory."""
    frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    free = torch.nn.Parameter(torch.ones(2))

    assert make_optimizer("sgd", [frozen, free], 0.1, {}).param_groups[0]["params"] == [free]
