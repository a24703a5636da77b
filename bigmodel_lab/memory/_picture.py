"""The allocator's blocks as the frozen segments that views draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from bigmodel_lab.memory import _blocks
from bigmodel_lab.memory._blocks import UNMAPPED
from bigmodel_lab.memory.segments import Block, Segment

_STATES: dict[int, Literal["active_allocated", "active_pending_free", "inactive"]] = {
    _blocks.FREE: "inactive",
    _blocks.ALLOCATED: "active_allocated",
    _blocks.PENDING: "active_pending_free",
}


def pictured(heads: Mapping[int, _blocks.Block], *, expandable: bool) -> tuple[Segment, ...]:
    """Segments by address; of an expandable one every stretch that has memory (``snapshot``).

    Args:
        heads: First block of each segment, by address.
        expandable: Whether the segments can grow.
    """
    runs = (run for address in sorted(heads) for run in _runs(heads[address]))
    return tuple(_segment(run, expandable=expandable) for run in runs)


def _runs(block: _blocks.Block | None) -> Iterator[list[_blocks.Block]]:
    """Neighbouring blocks with memory."""
    run: list[_blocks.Block] = []
    while block is not None:
        if block.state != UNMAPPED:
            run.append(block)
        elif run:
            yield run
            run = []
        block = block.next
    if run:
        yield run


def _segment(run: list[_blocks.Block], *, expandable: bool) -> Segment:
    first = run[0]
    return Segment(
        address=first.address,
        bytes=sum(block.size for block in run),
        pool="small" if first.cache.pool.is_small else "large",
        stream=first.cache.stream,
        blocks=tuple(_block(block) for block in run),
        is_expandable=expandable,
        private_pool=first.cache.pool.private_pool,
    )


def _block(block: _blocks.Block) -> Block:
    is_free = block.state == _blocks.FREE
    owner = None if is_free else block.owner
    return Block(block.address, block.size, 0 if is_free else block.requested, _STATES[block.state], owner)
