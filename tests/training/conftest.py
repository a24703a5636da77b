"""Small models and data, so that a whole run takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bigmodel_lab.data import Data, from_arrays
from bigmodel_lab.training import TrainConfig, Trainer
from tests.api.conftest import one_thread  # noqa: F401 - small models here too
from tests.training.fakes import CPU, FakeLog, tiny_model


@pytest.fixture
def data() -> Data:
    """100 samples of 10 classes that can be told apart: 81 to train, 9 to validate, 10 to test."""
    numbers = torch.Generator().manual_seed(1)
    y = torch.arange(100) % 10
    x = nn.functional.one_hot(y, 64).float() + 0.1 * torch.rand(100, 64, generator=numbers)
    return from_arrays((x, y))


@pytest.fixture
def log() -> FakeLog:
    """A run log in memory."""
    return FakeLog()


@pytest.fixture
def make(data: Data, log: FakeLog) -> Callable[..., Trainer]:
    """A trainer of the tiny model; settings as for ``TrainConfig``."""

    def trainer(
        model: nn.Module | None = None, log: FakeLog = log, data: Data = data, loss: Any = None, **settings: Any
    ) -> Trainer:
        config = TrainConfig(**{"epochs": 3, "micro_batch_size": 16, "learning_rate": 0.05, **settings})
        return Trainer(model or tiny_model(), data, config, log, device=CPU, loss=loss)

    return trainer
