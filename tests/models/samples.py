"""A few samples of the data set that each documented model trains on, read once for all tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from bigmodel_lab.data import Data, Split, load_data
from bigmodel_lab.models import MODELS, ModelCard

TRAINED, VALIDATED = 24, 8
"""Samples to train on and to validate with, where the data set has so many."""


def few_samples(card: ModelCard) -> Data:
    """The model's own data set with all that is known about it, but few samples, spread over the whole."""
    data = _whole(card.data)
    train, validation = _spread(data.train, TRAINED), _spread(data.validation, VALIDATED)
    return replace(data, train=train, validation=validation, test=_spread(data.test, VALIDATED))


def model_for(card: ModelCard, data: Data, seed: int = 0) -> torch.nn.Module:
    """The model in the sizes of this data, as ``fit`` builds it."""
    return card.create(seed, **{size: data.sizes[size] for size in card.takes})


def names() -> tuple[str, ...]:
    """Names of all documented models, those first that share a data set."""
    return tuple(sorted(MODELS.names(), key=lambda name: (MODELS.get(name).data, name)))


@cache
def _whole(name: str) -> Data:
    return load_data(name)


def _spread(split: Split, count: int) -> Split:
    total = len(split)  # samples lie class by class: the first ones would all be of one class
    return split.select(torch.arange(min(count, total)) * total // max(min(count, total), 1))
