"""The contract of a documented model: how to build it, what it takes, where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from bigmodel_lab.i18n import Text

if TYPE_CHECKING:  # listing the models must not cost an import of torch
    from torch import Tensor, nn


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


@runtime_checkable
class HandWritten(Protocol):
    """A model that computes its gradients itself, by formulas that one can read, without autograd.

    Its ``forward`` runs under ``torch.no_grad`` and keeps what the backward pass needs.
    """

    def backward_by_hand(self, output: Tensor, labels: Tensor, share: float) -> None:
        """Add the gradients of the mean loss of the last forward pass to each parameter's ``.grad``.

        Args:
            output: What the last forward pass returned, shape (samples, …).
            labels: Of the same samples.
            share: Factor on all gradients: the part of the step's samples that this batch is, above 0, up to 1.
        """


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
    build: Callable[..., nn.Module]
    """Makes the model with fresh weights, drawn from torch's global random numbers.

    Called without arguments it gives the model that this card describes; as keywords it takes the
    sizes named in ``takes``, and options of its own, e.g. ``layers=2``.
    """
    input_shape: tuple[int, ...]
    """Shape of one sample, without the batch."""
    classes: int | None
    """Number of classes; None where the output is not one score a class."""
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
    data: str = "digits"
    """Name of the data set that it trains on unless another is given."""
    takes: tuple[str, ...] = ()
    """Sizes that ``build`` takes from the data, keys of :attr:`bigmodel_lab.data.Data.sizes`."""
    output_shape: tuple[int, ...] | None = None
    """Shape of the output for one sample; None is one score a class."""
    input_dtype: Literal["float32", "int64"] = "float32"
    """Numbers of a sample: values, or numbers of tokens."""
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    """Documented loss of (output, labels), the mean over the samples; None is the usual one of the data's task."""

    def example(self, samples: int) -> Tensor:
        """A batch of the right shape and type, all zeros; on the meta device under ``torch.device("meta")``.

        Args:
            samples: Length of dimension 0, from 1.

        >>> from bigmodel_lab.models import MODELS
        >>> MODELS.get("mlp").example(2).shape
        torch.Size([2, 1, 28, 28])
        """
        import torch

        return torch.zeros((samples, *self.input_shape), dtype=getattr(torch, self.input_dtype))

    def create(self, seed: int, **sizes: Any) -> nn.Module:
        """A new model whose weights depend on the seed alone; the person's random numbers stay as they were.

        Args:
            seed: Any whole number from 0.
            sizes: For ``build``: those named in ``takes``, and its own options.

        >>> from bigmodel_lab.models import MODELS
        >>> first, again = (MODELS.get("mlp").create(seed=1) for _ in range(2))
        >>> bool((first.hidden.weight == again.hidden.weight).all())
        True
        """
        import torch

        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU: the same on every device
            torch.default_generator.manual_seed(seed)
            return self.build(**sizes)
