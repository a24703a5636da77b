"""Training: a frozen configuration, the textbook step, and the loop around it."""

from __future__ import annotations

from bigmodel_lab.training.commands import Commands
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice, choose_device
from bigmodel_lab.training.evaluate import Evaluation
from bigmodel_lab.training.own_steps import OwnSteps
from bigmodel_lab.training.precision import Precision, resolve_precision
from bigmodel_lab.training.step import LossFunction, Task, training_step
from bigmodel_lab.training.trainer import Trainer

__all__ = [
    "Commands",
    "DeviceChoice",
    "Evaluation",
    "LossFunction",
    "OwnSteps",
    "Precision",
    "Task",
    "TrainConfig",
    "Trainer",
    "choose_device",
    "resolve_precision",
    "training_step",
]
