"""The error of a full card, in the words and with the numbers of CUDA's own."""

from __future__ import annotations

from torch import OutOfMemoryError

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.units import format_bytes_as_torch

_MANUAL = "https://pytorch.org/docs/stable/notes/cuda.html#environment-variables"


def out_of_memory(full: OutOfDeviceMemory, card: Card, others_bytes: int) -> OutOfMemoryError:
    """The error that a program on this card gets.

    Order, numbers and words follow ``c10/cuda/CUDACachingAllocator.cpp`` since PyTorch 2.1, because programs
    read them; so they are never translated. Only the last sentence is ours.

    Args:
        full: What the allocator says.
        card: The simulated card.
        others_bytes: What other processes hold on it.
    """
    size = format_bytes_as_torch
    own = card.context_bytes + full.reserved_bytes
    free = max(0, card.total_bytes - own - others_bytes)
    others = f"Process 0 has {size(others_bytes)} memory in use. " if others_bytes else ""
    message = (
        f"CUDA out of memory. Tried to allocate {size(full.segment_bytes)}. GPU 0 has a total capacity of "
        f"{size(card.total_bytes)} of which {size(free)} is free. {others}Including non-PyTorch memory, this process "
        f"has {size(own)} memory in use. Of the allocated memory {size(full.allocated_bytes)} is allocated by PyTorch, "
        f"and {size(full.reserved_bytes - full.allocated_bytes)} is reserved by PyTorch but unallocated. If reserved "
        "but unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid "
        f"fragmentation.  See documentation for Memory Management  ({_MANUAL})"
    )
    said = text(
        "virtual_gpu.said", "This card ({name}) is simulated by bigmodel_lab; the code ran on the CPU.", name=card.name
    )
    return OutOfMemoryError(f"{message} {said}")
