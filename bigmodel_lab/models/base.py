"""The contract of a documented model: how to build it, what it takes, where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bigmodel_lab.i18n import Text

if TYPE_CHECKING:  # listing the models must not cost an import of torch
    from torch import nn


@dataclass(frozen=True)
class Defaults:
    """How the source document trains the model."""

    optimizer: str
    """Class name in ``torch.optim``, lower case."""
    learning_rate: float
    """Step width of the optimizer."""
    micro_batch_size: int
    """Samples in one forward and backward pass."""
    epochs: int
    """Passes over the training data."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    """Number format of the forward pass where the device has it."""


@dataclass(frozen=True)
class ModelCard:
    """One documented model.

    >>> from bigmodel_lab.models import MODELS
    >>> card = MODELS.get("mlp")
    >>> card.input_shape, card.classes, card.parameters
    ((1, 28, 28), 10, 397510)
    """

    name: str
    """Name of the model: its file name."""
    build: Callable[[], nn.Module]
    """Makes the model with fresh weights, drawn from torch's global random numbers."""
    input_shape: tuple[int, ...]
    """Shape of one sample, without the batch."""
    classes: int
    """Number of classes: the width of the output."""
    parameters: int
    """Number of trainable weights."""
    source: str
    """Document and section that describe the model."""
    idea: Text
    """What the model is, in one or two sentences for a person."""
    defaults: Defaults
    """How the source document trains it."""
    documented_result: str | None = None
    """What the source document reports, in its own terms; None when it reports nothing."""
    errata: tuple[Text, ...] = ()
    """What is wrong in the source document about this model, and what is done here instead."""

    def create(self, seed: int) -> nn.Module:
        """A new model whose weights depend on the seed alone; the person's random numbers stay as they were.

        Args:
            seed: Any whole number from 0.

        >>> from bigmodel_lab.models import MODELS
        >>> first, again = (MODELS.get("mlp").create(seed=1) for _ in range(2))
        >>> bool((first.hidden.weight == again.hidden.weight).all())
        True
        """
        import torch

        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU: the same on every device
            torch.default_generator.manual_seed(seed)
            return self.build()
