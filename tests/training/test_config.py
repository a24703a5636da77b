"""Every setting is checked when it is given, and the message says what is allowed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re

import pytest

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.models import MODELS
from bigmodel_lab.training import TrainConfig


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
        ("warmup_steps", -1, "from 0"),
        ("early_stopping", 0, "from 1"),
        ("l1", -1e-4, "from 0"),
        ("l2", "much", "from 0"),
        ("dropout", 1, "below 1"),
        ("checkpoint", "always", r"off \| best \| every_epoch"),
        ("freeze", "conv*", "names in a tuple"),
        ("freeze", [""], "names in a tuple"),
        ("schedule_options", [1], "values by name"),
        ("augment", 10, "values by name"),
    ],
)
def test_wrong_setting_names_value_and_what_is_allowed(name, value, allowed):
    """The message names the setting, the value that came, and what is allowed."""
    with pytest.raises(ConfigError, match=f"{name} is {re.escape(repr(value))}, but must be: .*{allowed}"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("rotate", 181, "to 180"), ("rotate", -1, "degrees"), ("scale", 1, "below 1"), ("crop", 1.5, "whole number")],
)
def test_wrong_change_of_images_is_named(name, value, allowed):
    """Each number of ``augment`` has limits of its own."""
    with pytest.raises(ConfigError, match=f"{name} is {value!r}, but must be: .*{allowed}"):
        TrainConfig(augment={name: value})


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


def test_facts_keep_lists():
    """A list among the options stays one, so that the header of a run holds what was asked for."""
    facts = TrainConfig(schedule="multi_step", schedule_options={"milestones": (10, 20)}, freeze=("a",)).facts

    assert json.loads(json.dumps(facts))["schedule_options"] == {"milestones": [10, 20]}
    assert facts["freeze"] == ["a"]


def test_settings_come_back_from_json():
    """The settings that a header holds make the same configuration again."""
    config = TrainConfig(schedule="step", schedule_options={"gamma": 0.5}, freeze=("conv*",), augment={"crop": 2})

    assert TrainConfig(**json.loads(json.dumps(config.facts))) == config


@pytest.mark.parametrize("setting", [{"schedule": "cosin"}, {"augment": {"crpo": 1}}])
def test_misspelt_word_suggests_the_nearest(setting):
    """Schedules and changes of images are known by name."""
    with pytest.raises(UnknownNameError, match=r"Did you mean '(cosine|crop)'"):
        TrainConfig(**setting)


@pytest.mark.parametrize(
    "setting",
    [{"dropout": 0.0}, {"l1": 0, "l2": 0.5}, {"early_stopping": 1}, {"augment": {"rotate": 180, "scale": 0}}],
)
def test_values_at_the_border_are_allowed(setting):
    """What the messages call allowed is allowed."""
    assert TrainConfig(**setting)


@pytest.mark.parametrize("name", ["optimizer", "schedule"])
@pytest.mark.parametrize("value", [["adam"], {"adam": 1}, None, "", int])
def test_a_name_that_is_no_text_is_refused(name, value):
    """A list or a class, as other libraries take them, is answered with what is meant here."""
    with pytest.raises(ConfigError, match=f"{name} is {re.escape(repr(value))}, but must be: a name, such as '"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("name", ["learning_rate", "l2"])
def test_a_whole_number_too_large_for_torch_is_refused(name):
    """Python has whole numbers that are no float; they are refused like infinity."""
    with pytest.raises(ConfigError, match=f"{name} is 1000.*must be: a number"):
        TrainConfig(**{name: 10**400})


def test_a_setting_of_another_library_suggests_ours():
    """What many call the batch size has its own name here."""
    with pytest.raises(UnknownNameError, match="Did you mean 'micro_batch_size'"):
        TrainConfig.from_settings({"batch_size": 32})
