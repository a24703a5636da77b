"""The buffer in which blocks of threads put their parts of a sum, where several work on one result.

Source: ``aten/src/ATen/native/cuda/Reduce.cuh`` of PyTorch 2.13: ``setReduceConfig``, ``global_memory_size`` and
``semaphore_size``. The size hangs on the number of a card's multiprocessors.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.trace.cuda_rules._iteration import Walk
from bigmodel_lab.trace.cuda_rules.base import Target

_WARP = 32
_MOST_THREADS = 512
_FEWEST_VALUES, _MOST_VALUES = 16, 256
"""Of one thread."""
_SEMAPHORE_BYTES = 4


@dataclass(frozen=True)
class Kernel:
    """What distinguishes one kind of reduction from another."""

    part_bytes: int
    """Of what a thread carries for one result, such as a sum."""
    input_bytes: int
    """Of one element that it reads."""
    loads: int = 4
    """Elements that it reads at once where they lie together."""


def buffer_bytes(walk: Walk, kernel: Kernel, target: Target) -> tuple[int, int]:
    """Bytes of the buffer and of the counters beside it; zeros where one block makes each result alone.

    Args:
        walk: Over the tensor that is reduced, which has at least one element.
        kernel: The kind of reduction.
        target: The card.

    >>> from bigmodel_lab.trace.cuda_rules._iteration import walk
    >>> buffer_bytes(walk((4096, 4096), (4096, 1), (0,), (4, 4)), Kernel(4, 4), Target(multiprocessors=132))
    (134217728, 128)
    """
    found = [_of_part(part, kernel, target) for part in walk.parts()]
    return max(found)


def _of_part(walk: Walk, kernel: Kernel, target: Target) -> tuple[int, int]:
    """A tensor that is walked with offsets of 32 bits."""
    outputs = walk.outputs
    inputs = walk.elements // outputs
    along = _is_along(walk)
    loads, vector = _vectors(walk, kernel, along, inputs)
    inner, outer = (inputs // loads, outputs) if along else (outputs // vector, inputs)
    width, height = _block(inner, outer, _MOST_THREADS // vector)
    read = width if along else 1
    written = 1 if along else width
    threshold = min(height * 16, _MOST_VALUES)
    if _up(inputs, read) < threshold:
        return 0, 0
    read *= height
    values = _up(inputs, read)
    grid = _up(outputs // vector, written)
    blocks = target.multiprocessors * (target.threads_per_multiprocessor // (width * height))
    if values < _MOST_VALUES or grid > blocks:
        return 0, 0
    shares = max(min(_up(blocks, grid), _up(values, _FEWEST_VALUES)), _up(values, _MOST_VALUES))
    if shares <= 1:
        return 0, 0
    lanes = 1 if along else width * vector
    return kernel.part_bytes * outputs * shares * lanes, _SEMAPHORE_BYTES * grid


def _is_along(walk: Walk) -> bool:
    """The fastest dimension of the input is one of those that are reduced."""
    return walk.reduced == len(walk.shape) or walk.input[0] < walk.input[walk.reduced]


def _vectors(walk: Walk, kernel: Kernel, along: bool, inputs: int) -> tuple[int, int]:
    """(Elements that a thread reads at once, results that it makes at once)."""
    if not walk.shape:
        return 1, 1
    if walk.input[0 if along else walk.reduced] != kernel.input_bytes:
        return 1, 1
    if along:
        return (kernel.loads if inputs >= 128 and walk.reduced == 1 else 1), 1
    others = [stride for dim, stride in enumerate(walk.input) if dim != walk.reduced]
    together = 4
    for number in (walk.offset, walk.shape[walk.reduced] * kernel.input_bytes, *others):
        while (number // kernel.input_bytes) % together:
            together //= 2
    return 1, together


def _block(inner: int, outer: int, threads: int) -> tuple[int, int]:
    """Width and height of a block of threads."""
    wide, high = (_power(size) if size < threads else threads for size in (inner, outer))
    height = min(high, threads // min(wide, _WARP))
    return min(wide, threads // height), height


def _power(number: int) -> int:
    """The largest power of two up to it; 1 for 0."""
    return 1 << (max(1, number).bit_length() - 1)


def _up(number: int, by: int) -> int:
    return -(-number // by)
