"""How PyTorch walks over a tensor that it reduces: dimensions in order of their strides, those that lie together joined.

Source: ``aten/src/ATen/TensorIterator.cpp`` of PyTorch 2.13: ``reorder_dimensions``, ``coalesce_dimensions``,
``can_use_32bit_indexing`` and ``split``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

_LARGEST_32_BIT = 2**31 - 1


@dataclass(frozen=True)
class Walk:
    """Dimensions from the fastest to the slowest, those that are reduced first; strides in bytes."""

    shape: tuple[int, ...]
    """Length of each dimension."""
    output: tuple[int, ...]
    """Strides of the result; 0 where a dimension is reduced."""
    input: tuple[int, ...]
    """Strides of what is reduced."""
    offset: int = 0
    """Of the input's first element in its memory, in bytes."""

    @property
    def reduced(self) -> int:
        """How many dimensions are reduced."""
        return self.output.count(0)

    @property
    def elements(self) -> int:
        """Of the input."""
        return prod(self.shape)

    @property
    def outputs(self) -> int:
        """Elements of the result."""
        return prod(size for size, stride in zip(self.shape, self.output, strict=True) if stride)

    def parts(self) -> Iterator[Walk]:
        """Itself, or halves of it, and halves of these, until no offset needs more than 32 bits."""
        largest = max(self._extents(strides) for strides in (self.output, self.input))
        if self.elements <= _LARGEST_32_BIT and largest <= _LARGEST_32_BIT:
            yield self
            return
        where = self._to_split()
        half = self.shape[where] // 2
        yield from self._part(where, 0, half).parts()
        yield from self._part(where, half, self.shape[where] - half).parts()

    def _extents(self, strides: Sequence[int]) -> int:
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, strides, strict=True))

    def _to_split(self) -> int:
        """The dimension that reaches farthest; of equal ones the slowest."""
        reach = [(n - 1) * max(a, b) for n, a, b in zip(self.shape, self.output, self.input, strict=True)]
        return max(range(len(reach)), key=lambda dim: (reach[dim], dim))

    def _part(self, dim: int, start: int, size: int) -> Walk:
        shape = (*self.shape[:dim], size, *self.shape[dim + 1 :])
        return Walk(shape, self.output, self.input, self.offset + start * self.input[dim])


def walk(
    shape: Sequence[int], strides: Sequence[int], dims: Sequence[int], sizes: tuple[int, int], offset: int = 0
) -> Walk:
    """How a reduction is walked.

    Args:
        shape: Of the input.
        strides: Of the input, in elements.
        dims: Which are reduced, from 0.
        sizes: Bytes of an element of the input and of the result.
        offset: Elements before the input's first in its memory.

    >>> walk((4096, 512), (512, 1), (0,), (4, 4))
    Walk(shape=(4096, 512), output=(0, 4), input=(2048, 4), offset=0)
    >>> walk((8, 16, 28, 28), (12544, 784, 28, 1), (0, 2, 3), (4, 4)).shape
    (784, 8, 16)
    """
    input_bytes, output_bytes = sizes
    inputs = [stride * input_bytes for stride in strides]
    outputs = _of_result(shape, dims, output_bytes)
    order = _in_order(shape, outputs, inputs)
    joined = _joined([(shape[dim], outputs[dim], inputs[dim]) for dim in order])
    return Walk(
        tuple(size for size, _, _ in joined),
        tuple(output for _, output, _ in joined),
        tuple(input_ for _, _, input_ in joined),
        offset * input_bytes,
    )


def _of_result(shape: Sequence[int], dims: Sequence[int], element_bytes: int) -> list[int]:
    """Strides of a contiguous result, with 0 where it has no dimension."""
    strides, step = [0] * len(shape), element_bytes
    for dim in reversed(range(len(shape))):
        if dim not in dims:
            strides[dim] = step
            step *= shape[dim]
    return strides


def _in_order(shape: Sequence[int], outputs: Sequence[int], inputs: Sequence[int]) -> list[int]:
    """Sorted by insertion, as some pairs have no order."""
    order = list(reversed(range(len(shape))))
    for start in range(1, len(order)):
        here = start
        for before in reversed(range(start)):
            comparison = _comparison(order[before], order[here], shape, outputs, inputs)
            if comparison > 0:
                order[before], order[here] = order[here], order[before]
                here = before
            elif comparison < 0:
                break
    return order


def _comparison(a: int, b: int, shape: Sequence[int], outputs: Sequence[int], inputs: Sequence[int]) -> int:
    """Above 0: the first comes behind the second; 0: it does not matter."""
    if (outputs[a] == 0) != (outputs[b] == 0):
        return 1 if outputs[b] == 0 else -1
    for strides in (outputs, inputs):
        if strides[a] == 0 or strides[b] == 0:
            continue
        if strides[a] != strides[b]:
            return -1 if strides[a] < strides[b] else 1
        if shape[a] > shape[b]:
            return 1
    return 0


def _joined(dims: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(Size, stride of the result, stride of the input) of each dimension, neighbours that lie together as one."""
    joined: list[tuple[int, int, int]] = []
    for size, output, input_ in dims:
        if not joined:
            joined.append((size, output, input_))
            continue
        last, last_output, last_input = joined[-1]
        together = last * last_output == output and last * last_input == input_
        if last == 1:
            joined[-1] = (size, output, input_)
        elif size == 1 or together:
            joined[-1] = (last * size, last_output, last_input)
        else:
            joined.append((size, output, input_))
    return joined
