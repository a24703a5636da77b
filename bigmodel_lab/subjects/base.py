"""The contract of a large model: how to build it, what a batch looks like, what its training step computes.

A subject is there to be estimated: it is built on the meta device or on fake tensors, where its
weights take no memory. Nothing in it is drawn, downloaded or trained by itself; on a
machine with room the same three functions train it for real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import Text, text

if TYPE_CHECKING:  # listing the subjects must not cost an import of torch
    from torch import Tensor, nn

Batch: TypeAlias = "dict[str, Tensor]"
"""Tensors by what they are, inputs and targets together; dimension 0 of each counts the samples."""


@dataclass(frozen=True)
class Subject:
    """One large model by its published configuration.

    >>> from bigmodel_lab.subjects import SUBJECTS
    >>> subject = SUBJECTS.get("alexnet")
    >>> subject.parameters, dict(subject.sizes)
    (61100840, {'height': 224, 'width': 224})
    """

    name: str
    """Name of the model: its file name."""
    build: Callable[..., nn.Module]
    """Makes the model in training mode; without arguments the published configuration, options of its own as keywords.

    Works under ``torch.device("meta")``. Raises MissingPackageError where ``package`` is not installed.
    """
    batch: Callable[..., Batch]
    """Makes a batch: called with the number of samples and every name of ``sizes`` as a keyword; see :meth:`example`."""
    loss: Callable[[nn.Module, Batch], Tensor]
    """The forward pass of one training step: maps (model, batch) to the scalar that backward starts from."""
    parameters: int
    """Number of trainable weights of the published configuration; weights that are used twice count once."""
    inputs: Text
    """What one sample is, with its shape, for a person."""
    source: str
    """Paper and section that describe the model."""
    idea: Text
    """What the model is, in one or two sentences for a person."""
    training: Text | None = None
    """How the source trains it, with optimizer and batch, for a person; None where it does not say."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of a sample that may be chosen, with those that are taken otherwise, e.g. ``{"length": 1024}``."""
    package: str | None = None
    """Optional package that defines the model, e.g. ``"transformers"``; None where torch is enough."""
    fewest_samples: int = 1
    """Samples that a batch has at least; 2 where batch normalization would see a single value."""

    def example(self, samples: int, **sizes: int) -> Batch:
        """A batch of the right shapes and types; on the meta device under ``torch.device("meta")``.

        Args:
            samples: Length of dimension 0 of every tensor, from ``fewest_samples``.
            sizes: Other sizes than the usual ones, by their names in ``sizes``, from 1.

        Raises:
            UnknownNameError: The model has no size of this name.
            ConfigError: ``samples`` is below ``fewest_samples``, or a size below 1.

        >>> from bigmodel_lab.subjects import SUBJECTS
        >>> batch = SUBJECTS.get("alexnet").example(2, height=240)
        >>> [(name, tuple(tensor.shape)) for name, tensor in batch.items()]
        [('images', (2, 3, 240, 224)), ('labels', (2,))]
        """
        _check("samples", samples, self.fewest_samples)
        for name, size in sizes.items():
            if name not in self.sizes:
                raise UnknownNameError(text("subject.size", "size of {model}", model=self.name), name, self.sizes)
            _check(name, size, 1)
        return self.batch(samples, **{**self.sizes, **sizes})


def _check(name: str, size: int, fewest: int) -> None:
    if size < fewest:
        raise ConfigError(
            text(
                "error.subject_size",
                "{name} is {size}, and it must be at least {fewest}.",
                name=name,
                size=size,
                fewest=fewest,
            )
        )
