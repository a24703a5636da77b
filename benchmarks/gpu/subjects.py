"""What a case of the grid trains: the contract, and the documented models as such subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from bigmodel_lab.data import TaskKind
from bigmodel_lab.models import MODELS
from bigmodel_lab.training.objectives import Objective, objective_of


class Subject(Protocol):
    """What is trained: a frozen dataclass of sizes."""

    @property
    def name(self) -> str:
        """Says the sizes as well."""

    @property
    def objective(self) -> Objective:
        """How the output is judged."""

    def build(self) -> nn.Module:
        """A new model, with weights from torch's random numbers."""

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """Inputs and labels on the device; ``"meta"`` has shapes only."""


@dataclass(frozen=True)
class Documented:
    """One of the documented models, with inputs of its own shape."""

    model: str

    @property
    def name(self) -> str:
        """That of the model."""
        return self.model

    @property
    def task(self) -> TaskKind:
        """As its output tells: scores of classes, of tokens, its own input again, or numbers."""
        card = MODELS.get(self.model)
        if card.output_shape is None:
            return "classification"
        if card.input_dtype == "int64":
            return "next_token"
        return "reconstruction" if card.output_shape == card.input_shape != (1,) else "regression"

    @property
    def objective(self) -> Objective:
        """The documented loss, or the usual one of the task."""
        return objective_of(self.task, MODELS.get(self.model).loss)

    def build(self) -> nn.Module:
        """As its card describes it."""
        return MODELS.get(self.model).build()

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """Random inputs, and labels of its task."""
        card = MODELS.get(self.model)
        shape = (samples, *card.input_shape)
        if card.input_dtype == "int64":
            x = torch.randint(1, card.classes or 2, shape, device=device)
        else:
            x = torch.rand(shape, device=device)
        return x, self._labels(x)

    def _labels(self, x: Tensor) -> Tensor:
        card = MODELS.get(self.model)
        if self.task == "classification":
            return torch.randint(0, card.classes or 1, (x.shape[0],), device=x.device)
        if self.task == "regression":
            return torch.rand((x.shape[0], *(card.output_shape or ())), device=x.device)
        return x
