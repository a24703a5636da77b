"""Training: a frozen configuration, the textbook step, and the loop around it."""

from __future__ import annotations

from bigmodel_lab.training.checkpoint import Checkpoint, find_checkpoint, need_safetensors, put_weights, read_weights
from bigmodel_lab.training.checkpoints import Checkpoints, Recipe, restore
from bigmodel_lab.training.commands import Commands
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice, choose_device
from bigmodel_lab.training.evaluate import Evaluation
from bigmodel_lab.training.intervals import MeanInterval, mean_interval
from bigmodel_lab.training.observers import EpochEnd
from bigmodel_lab.training.own_steps import OwnSteps
from bigmodel_lab.training.precision import Precision, resolve_precision
from bigmodel_lab.training.range_test import RangeCurve, RangeTrainer, range_curve, rising_rates
from bigmodel_lab.training.step import LossFunction, Task, training_step
from bigmodel_lab.training.trainer import EpochObserver, Trainer

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Commands",
    "DeviceChoice",
    "EpochEnd",
    "EpochObserver",
    "Evaluation",
    "LossFunction",
    "MeanInterval",
    "OwnSteps",
    "Precision",
    "RangeCurve",
    "RangeTrainer",
    "Recipe",
    "Task",
    "TrainConfig",
    "Trainer",
    "choose_device",
    "find_checkpoint",
    "mean_interval",
    "need_safetensors",
    "put_weights",
    "range_curve",
    "read_weights",
    "resolve_precision",
    "restore",
    "rising_rates",
    "training_step",
]
