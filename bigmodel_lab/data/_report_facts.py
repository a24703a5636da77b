"""What a report on data says, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.data.base import TaskKind


@dataclass(frozen=True)
class Range:
    """Where values lie, those that are NaN or infinite left out."""

    minimum: float
    maximum: float
    mean: float
    deviation: float
    """Standard deviation over all values."""


@dataclass(frozen=True)
class Places:
    """How many there are, and where the first of them stand."""

    count: int
    first: tuple[int, ...]
    """Numbers of samples (or of features) from 0, at most ten."""


@dataclass(frozen=True)
class Leak:
    """Samples of one split that are in another one too, to the byte."""

    known: str
    """Split whose samples should be unknown elsewhere, e.g. ``"train"``."""
    held: str
    """Split that is judged by, ``"validation"`` or ``"test"``."""
    count: int
    """Samples of ``held`` that are also in ``known``."""
    pairs: tuple[tuple[int, int], ...]
    """The first of them, at most ten: (number in ``held``, number in ``known``), from 0."""


@dataclass(frozen=True)
class Words:
    """What token numbers tell about texts; padding (token 0) is no word."""

    lengths: tuple[int, ...]
    """Texts with 0, 1, 2 … words; the last ones fill their row, so they may have been cut off."""
    unknown: float | None
    """Share of words that are not in the vocabulary (token 1), 0 … 1; None where there are no words."""


@dataclass(frozen=True)
class SplitFacts:
    """One split."""

    name: str
    """``"train"``, ``"validation"`` or ``"test"``."""
    samples: int
    ranges: tuple[Range, ...]
    """Of the values as they lie in memory: one a channel of images, one of all else; none of texts and empty splits."""
    targets: Range | None
    """Of the numbers to predict; None where there are none."""
    classes: tuple[int, ...]
    """Samples of each class; empty where nothing has a class."""
    missing: Places
    """Samples with a value that is NaN or infinite."""
    duplicates: Places
    """Samples that are an earlier one of this split again, to the byte."""
    contradictions: Places
    """Those among them that have another class than the earlier one."""
    words: Words | None
    """None where samples are no texts."""


@dataclass(frozen=True)
class DataFacts:
    """Everything that a report on data says."""

    name: str
    description: str
    task: TaskKind
    input_shape: tuple[int, ...]
    """Shape of one sample."""
    dtype: str
    """Type of the values in memory, e.g. ``"uint8"``."""
    scale: float | None
    """Factor on uint8 values before the model sees them; None for none."""
    class_names: tuple[str, ...]
    """What each class is called, its number where it has no name; empty where nothing has a class."""
    vocabulary: int
    """Number of tokens, 0 where samples are no texts."""
    sha256: str | None
    """Digest of a corpus that was made on this machine; None for others."""
    splits: tuple[SplitFacts, ...]
    """Training, validation and test samples."""
    leaks: tuple[Leak, ...]
    """Empty where the splits share no sample."""
    constant: Places | None
    """Features with one value in all training samples; None where that tells nothing (texts, a single sample)."""
    notes: tuple[str, ...]
    """What was noticed while reading, e.g. lines that were left out, with their numbers."""
    warnings: tuple[str, ...] = ()
    """What may spoil training or its judgement, in words, most severe first."""

    @property
    def train(self) -> SplitFacts:
        """The training samples."""
        return self.splits[0]
