"""Dividing samples so that every part holds its share of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from bigmodel_lab.data.base import Division, Split


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Two parts of a split: what stays, and this share of it held out.

    Both hold every class in the same proportion (to within one sample of a class), and
    which samples they are depends on the seed alone. Where labels are no class numbers
    (float, or several a sample) the samples are drawn at random.

    >>> y = torch.tensor([0] * 80 + [1] * 20)
    >>> rest, held = hold_out(Split(torch.arange(100), y), 0.1, seed=0)
    >>> held.y.bincount().tolist(), len(rest)
    ([8, 2], 90)
    """
    order = classes_together(split.y, seed)
    held = torch.zeros(len(order), dtype=torch.bool)
    held[_evenly(round(fraction * len(order)), len(order))] = True
    return split.select(order[~held]), split.select(order[held])


def divide(split: Split, division: Division) -> tuple[Split, Split, Split]:
    """Training, validation and test samples of one heap of samples."""
    rest, test = hold_out(split, division.test_fraction, division.seed)
    train, validation = hold_out(rest, division.validation_fraction, division.seed)
    return train, validation, test


def classes_together(y: Tensor, seed: int) -> Tensor:
    """Indices in random order within each class, one class after the other; without classes, in random order."""
    shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    if y.ndim != 1 or y.is_floating_point():
        return shuffled
    return shuffled[torch.argsort(y[shuffled], stable=True)]


def _evenly(count: int, total: int) -> Tensor:
    """``count`` positions spread evenly over ``total``: each class meets its share on the way."""
    return (torch.arange(count, dtype=torch.float64).add_(0.5) * (total / max(count, 1))).long()
