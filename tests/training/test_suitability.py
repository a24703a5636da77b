"""Settings that cannot go together with a model, its data or a number format are refused before a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bigmodel_lab.data import Data, from_arrays
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.models import MODELS
from bigmodel_lab.training import Precision, TrainConfig
from bigmodel_lab.training.suitability import check_settings

FP32 = Precision("fp32", "fp32", "As asked for.")


@pytest.fixture
def data() -> Data:
    """Twenty samples of two classes, two of them for validation."""
    return from_arrays((torch.rand(20, 3), torch.arange(20) % 2))


@pytest.fixture
def by_hand() -> nn.Module:
    """A model without autograd."""
    return MODELS.get("scratch_mlp").build(features=3, classes=2)


@pytest.mark.parametrize("setting", [{"l1": 0.1}, {"l2": 0.1}, {"dropout": 0.1}])
def test_what_needs_autograd_is_refused_by_hand(by_hand, data, setting):
    """The message names the setting and the model."""
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} needs autograd, but ScratchMLP"):
        check_settings(TrainConfig(**setting), by_hand, data, FP32)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_sixteen_bits_are_refused_by_hand(by_hand, data, name):
    """Neither autocast nor its scaler knows the formulas."""
    with pytest.raises(ConfigError, match=rf"precision is '{name}'.*precision='fp32'"):
        check_settings(TrainConfig(), by_hand, data, Precision(name, name, "As asked for."))


def test_a_model_by_hand_takes_the_rest(by_hand, data):
    """Schedules, freezing and early stopping do not touch its formulas."""
    check_settings(TrainConfig(schedule="cosine", early_stopping=2), by_hand, data, FP32)


def test_lbfgs_is_refused_under_a_scaler(data):
    """The scaler counts one backward pass a step."""
    with pytest.raises(ConfigError, match=r"lbfgs.*bf16"):
        check_settings(TrainConfig(optimizer="lbfgs"), nn.Linear(3, 2), data, Precision("fp16", "fp16", ""))


@pytest.mark.parametrize("setting", [{"early_stopping": 1}, {"schedule": "plateau"}])
def test_what_looks_at_validation_needs_some(data, setting):
    """The message says how to keep some samples back."""
    nothing = data.validation.select(torch.arange(0))
    with pytest.raises(ConfigError, match=r"0 validation samples.*validation_fraction"):
        check_settings(TrainConfig(**setting), nn.Linear(3, 2), replace(data, validation=nothing), FP32)
