"""The contract of data: tensors in memory, divided into training, validation and test samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from torch import Tensor

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import Text, text

TaskKind = Literal["classification", "next_token", "regression", "reconstruction"]
"""What a model learns from the data: a class a sample, the next token at each place, numbers, the sample itself."""


@dataclass(frozen=True)
class Split:
    """Samples with their labels; may be empty.

    >>> import torch
    >>> len(Split(torch.zeros(5, 1, 28, 28), torch.zeros(5, dtype=torch.int64)))
    5
    """

    x: Tensor
    """Samples, shape (samples, …); uint8 pixels, float32 values or integer tokens."""
    y: Tensor
    """What belongs to each sample, by the task of its data: class numbers 0 … classes - 1, shape (samples,), int64;
    next tokens, shape (samples, length), int64; or numbers, shape (samples, …), float32."""

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def select(self, index: Tensor) -> Split:
        """The samples with these indices, copied."""
        return Split(self.x.index_select(0, index), self.y.index_select(0, index))


@dataclass(frozen=True)
class Division:
    """How samples are divided where the source does not say.

    >>> Division(validation_fraction=0.2).test_fraction
    0.1
    """

    validation_fraction: float = 0.1
    """Share of the training samples (after the test samples are taken) kept for validation, 0 … 1."""
    test_fraction: float = 0.1
    """Share of all samples kept for the test at the end, 0 … 1."""
    seed: int = 0
    """Which samples these are."""

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ConfigError(
                    text(
                        "error.fraction",
                        "{name} is {share!r}, but must be a share from 0 (none) to below 1, such as 0.1.",
                        name=name,
                        share=share,
                    )
                )


@dataclass(frozen=True)
class Data:
    """A data set, ready for training."""

    name: str
    """Short name, e.g. ``"digits"``."""
    description: str
    """What it is and where it comes from, for a person."""
    train: Split
    """What the model learns from; never empty."""
    validation: Split
    """What each epoch is judged by; may be empty."""
    test: Split
    """What the finished model is judged by; may be empty."""
    scale: float | None
    """Factor that makes uint8 pixels float32 (e.g. 1/255); None hands samples over as they are."""
    classes: int
    """Number of classes; of next tokens, the size of the vocabulary; of regression, numbers a sample."""
    task: TaskKind = "classification"
    """What a model learns from it. A reconstruction learns ``x`` from ``x``; its labels are only for people."""
    class_names: tuple[str, ...] = ()
    """What the classes are called; empty where they are just numbers."""
    vocabulary: tuple[str, ...] = ()
    """The word of each token number; empty where samples are not text."""
    sha256: str | None = None
    """Digest of a corpus that was made on this machine, in hexadecimal; None for others."""
    notes: tuple[str, ...] = ()
    """What was noticed while reading, e.g. lines that could not be used, with their numbers."""

    @property
    def sizes(self) -> dict[str, Any]:
        """What a model may want to know before it is built.

        ``classes``; ``features`` (numbers in a sample); ``input_shape``; ``length`` (first dimension of a
        sample, 1 where it is a single number); ``vocabulary`` (number of tokens, 0 where there are none); ``task``.
        """
        return {
            "classes": self.classes,
            "features": prod(self.input_shape),
            "input_shape": self.input_shape,
            "length": self.input_shape[0] if self.input_shape else 1,
            "vocabulary": len(self.vocabulary),
            "task": self.task,
        }

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        return tuple(self.train.x.shape[1:])

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def facts(self) -> dict[str, object]:
        """Name, sizes and shape as values of JSON, for the header of a run."""
        sizes = {name: len(split) for name, split in self.splits.items()}
        return {
            "name": self.name,
            "description": self.description,
            "samples": sizes,
            "classes": self.classes,
            "input_shape": list(self.input_shape),
            "task": self.task,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class DatasetCard:
    """One data set that has a name."""

    name: str
    """Its file name."""
    load: Callable[[Division], Data]
    """Reads it; raises a typed error that names what was looked for."""
    meaning: Text
    """What it is, in one or two sentences for a person."""
