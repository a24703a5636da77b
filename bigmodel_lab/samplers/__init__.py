"""The family of samplers: one file a sampler, each with a ``SAMPLER``; see :mod:`.base`.

Importing this package imports neither torch nor pynvml, and asks no driver.
"""

from __future__ import annotations

from collections.abc import Callable

from bigmodel_lab._family import Family
from bigmodel_lab.samplers._card_reader import read_cards
from bigmodel_lab.samplers._cards import Card, CardProcess, CardTable
from bigmodel_lab.samplers._poller import Poller, Sink
from bigmodel_lab.samplers._visible import VisibleDevices, cuda_devices
from bigmodel_lab.samplers.base import Sample, Sampler

SamplerFactory = Callable[["str | None"], Sampler]
"""What a member's ``SAMPLER`` is: takes the UUID of the card, or None for the first visible one."""

SAMPLERS: Family[SamplerFactory] = Family("bigmodel_lab.samplers", "sampler", "SAMPLER")
"""Every sampler by name."""


def open_samplers(gpu_uuid: str | None = None) -> tuple[Sampler, ...]:
    """One of every sampler, for one card.

    Args:
        gpu_uuid: ``"GPU-…"`` or ``"MIG-…"``; None is the first card that this process may see.

    >>> [sampler.name for sampler in open_samplers()]
    ['cuda_memory', 'host', 'nvml']
    """
    return tuple(make(gpu_uuid) for make in SAMPLERS.all())


__all__ = [
    "SAMPLERS",
    "Card",
    "CardProcess",
    "CardTable",
    "Poller",
    "Sample",
    "Sampler",
    "SamplerFactory",
    "Sink",
    "VisibleDevices",
    "cuda_devices",
    "open_samplers",
    "read_cards",
]
