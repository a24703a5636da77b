"""What the allocator says when it cannot do what it was asked for."""

from __future__ import annotations

from bigmodel_lab.errors import ConfigError, OutOfDeviceMemory
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_bytes


def nothing(size: int) -> int:
    """Address of an allocation without bytes.

    Raises:
        ConfigError: The size is negative.
    """
    if size < 0:
        raise ConfigError(text("allocator.negative", "{size} bytes cannot be allocated. Ask for 0 or more.", size=size))
    return 0


def not_in_use(address: int) -> ConfigError:
    """A block is freed that nobody has."""
    return _not_there(address, text("allocator.in_use", "is in use"))


def not_waiting(address: int) -> ConfigError:
    """A free is completed that was never asked for."""
    return _not_there(address, text("allocator.pending", "waits for other streams"))


def not_empty(reserved: int) -> ConfigError:
    """An allocator is to begin anew although it holds so many bytes."""
    return ConfigError(
        text(
            "allocator.not_empty",
            "This allocator already holds {reserved}, so it cannot begin with what another one held. Make a new one.",
            reserved=format_bytes(reserved),
        )
    )


def out_of_memory(*, size: int, segment: int, allocated: int, reserved: int, limit: int | None) -> OutOfDeviceMemory:
    """A request that finds no memory.

    Args:
        size: What was asked for, in bytes.
        segment: What the card would have to give for it, in bytes.
        allocated: Bytes in use.
        reserved: Bytes held from the driver.
        limit: What this process may have in all, in bytes; None = without end.
    """
    message = text(
        "allocator.out_of_memory",
        "A request for {size} does not fit: it needs {segment} from the card, {allocated} are in use, {reserved} "
        "reserved, and this process may have {limit} in all. Ask for less at a time, e.g. by a smaller micro-batch.",
        size=format_bytes(size),
        segment=format_bytes(segment),
        allocated=format_bytes(allocated),
        reserved=format_bytes(reserved),
        limit=format_bytes(limit),
    )
    return OutOfDeviceMemory(
        message,
        requested_bytes=size,
        segment_bytes=segment,
        allocated_bytes=allocated,
        reserved_bytes=reserved,
        capacity_bytes=limit,
    )


def _not_there(address: int, what: str) -> ConfigError:
    return ConfigError(
        text(
            "allocator.not_there",
            "No block at address {address:#x} {what}. Give back each block once, at the address that it came with.",
            address=address,
            what=what,
        )
    )
