"""The card of a run, as its header keeps it."""

from __future__ import annotations

from typing import Any

from bigmodel_lab.samplers import cuda_devices, read_cards


def card_facts(gpu_uuid: str | None) -> dict[str, Any]:
    """Name, size and power limit of an NVIDIA card, under ``"gpu"``; empty where there is none, or the driver does not tell.

    Args:
        gpu_uuid: As the driver names it; None is no NVIDIA card.

    >>> card_facts(None)
    {}
    """
    cards = () if gpu_uuid is None else read_cards().cards
    mine = next((card for card in cards if card.uuid == gpu_uuid), None)
    if mine is None:
        return {}
    known = {
        "name": mine.name,
        "total_bytes": mine.device_total_bytes,
        "power_limit_watts": mine.power_limit_watts,
    }
    return {"gpu": known}


def uuid_of(index: int) -> str | None:
    """The driver's name of a CUDA device, by PyTorch's number; None where it cannot be told.

    Args:
        index: From 0.
    """
    uuids = cuda_devices().uuids
    return uuids[index] if index < len(uuids) else None
