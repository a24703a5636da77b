"""Activations in main memory: when nothing faster is enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips import activation_checkpointing
from bigmodel_lab.tips.activation_offload import propose
from tests.tips.evidences import PLATFORM, Layers, predicted, with_config

MIB = 2**20


def test_silent_where_checkpointing_is_enough() -> None:
    """It is faster."""
    evidence = predicted(free_mib=76)
    faster = activation_checkpointing.propose(evidence)

    assert faster is not None
    assert evidence.would_fit(**faster.change) is True
    assert propose(evidence) is None


def test_speaks_where_checkpointing_is_not_enough() -> None:
    """And this is."""
    evidence = predicted(free_mib=60)

    assert propose(evidence) is not None
    assert evidence.would_fit(activation_offload=True) is True


def test_speaks_where_checkpointing_is_on() -> None:
    """And memory is short nevertheless."""
    evidence = with_config(predicted(free_mib=76), activation_checkpointing=("blocks.0",))

    assert propose(evidence) is not None


@pytest.mark.parametrize("free", [None, 8 * MIB])
def test_silent_where_main_memory_has_no_room(free: int | None) -> None:
    """Or nobody knows."""
    platform = replace(PLATFORM, host_free_bytes=free)

    assert propose(predicted(free_mib=50, platform=platform)) is None


def test_silent_where_activations_are_few() -> None:
    """The optimizer fills this card."""
    assert propose(predicted(Layers, free_mib=200)) is None


def test_silent_where_it_is_on() -> None:
    """Once is enough."""
    assert propose(with_config(predicted(free_mib=50), activation_offload=True)) is None
