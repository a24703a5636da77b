"""Folds for cross-validation: every sample is held out exactly once."""

from __future__ import annotations

from dataclasses import replace

import torch

from bigmodel_lab.data._splits import classes_together
from bigmodel_lab.data.base import Data, Split
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text


def folds_of(data: Data, folds: int, seed: int = 0) -> tuple[Data, ...]:
    """The same data ``folds`` times, each time with another part of it for validation.

    Training and validation samples are thrown together and dealt out again: the parts do not overlap, together they
    are all of these samples, their sizes differ by one at most, and so do their samples of each class. Where there
    are no class numbers, samples are dealt at random. The test samples stay aside.

    Source: R. Kohavi 1995, A study of cross-validation and bootstrap for accuracy estimation and model selection.

    Args:
        data: Any data.
        folds: How many parts, from 2 to the number of samples.
        seed: Which samples each part gets.

    Raises:
        ConfigError: A number of folds that cannot be had.

    >>> from bigmodel_lab.data import load_data
    >>> [len(fold.validation) for fold in folds_of(load_data("digits"), folds=5)]
    [324, 324, 323, 323, 323]
    """
    whole = Split(torch.cat((data.train.x, data.validation.x)), torch.cat((data.train.y, data.validation.y)))
    _check(folds, len(whole))
    order = classes_together(whole.y, seed)
    parts = [torch.arange(len(order)) % folds == nth for nth in range(folds)]
    return tuple(
        replace(
            data,
            description=_described(data, nth, folds),
            train=whole.select(order[~held]),
            validation=whole.select(order[held]),
        )
        for nth, held in enumerate(parts, start=1)
    )


def _described(data: Data, nth: int, folds: int) -> str:
    return text(
        "folds.description",
        "{data} Validated on part {nth} of {folds} of the training and validation samples.",
        data=data.description,
        nth=nth,
        folds=folds,
    )


def _check(folds: int, samples: int) -> None:
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= samples:
        raise ConfigError(
            text(
                "error.folds",
                "folds is {folds!r}, but must be a whole number from 2 to {samples}, the number of training and "
                "validation samples.",
                folds=folds,
                samples=samples,
            )
        )
