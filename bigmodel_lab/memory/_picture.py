"""The allocator's blocks as the frozen segments that views draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from bigmodel_lab.memory import _blocks
from bigmodel_lab.memory._blocks import UNMAPPED
from bigmodel_lab.memory.segments import Block, Segment

State: TypeAlias = Literal["active_allocated", "active_pending_free", "inactive"]
_STATES: dict[int, State] = {
    _blocks.FREE: "inactive",
    _blocks.ALLOCATED: "active_allocated",
    _blocks.PENDING: "active_pending_free",
}

_RECORDED_STATES: dict[str, State] = {
    "active_allocated": "active_allocated",
    "active_pending_free": "active_pending_free",
    "active_awaiting_free": "active_pending_free",  # so PyTorch's documentation calls it
    "inactive": "inactive",
}


def pictured_segment(segment: Mapping[str, Any]) -> Segment:
    """A segment as ``torch.cuda.memory._snapshot()["segments"]`` describes it; its blocks have no owners.

    Snapshots before PyTorch 2.1 do not write the addresses of blocks, which lie without gaps.
    """
    private_pool = segment.get("segment_pool_id", (0, 0))
    blocks: list[Block] = []
    address = segment["address"]
    for block in segment["blocks"]:
        state = _RECORDED_STATES[block["state"]]
        asked = 0 if state == "inactive" else block.get("requested_size", block["size"])
        blocks.append(Block(block.get("address", address), block["size"], asked, state))
        address += block["size"]
    return Segment(
        address=segment["address"],
        bytes=segment["total_size"],
        pool="small" if segment["segment_type"] == "small" else "large",
        stream=segment["stream"],
        blocks=tuple(blocks),
        is_expandable=bool(segment.get("is_expandable", False)),
        private_pool=private_pool[1] or private_pool[0],  # one of the two is 0
    )


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
