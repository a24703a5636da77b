"""Snapshots in the format of torch.cuda.memory._snapshot(), written by a simulated allocator."""

from __future__ import annotations

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.requests import RequestTrace

MODEL = [{"filename": "/home/me/train.py", "line": 12, "name": "main"}]


def frames_of(*names):
    """A call stack, innermost first, each as ``file:name``."""
    return [dict(zip(("filename", "name"), name.rsplit(":", 1), strict=True), line=7) for name in names] + MODEL


def snapshot_of(trace: RequestTrace, *, recorded_from=0, until=None, frames=(), device=0, allocator=None):
    """What PyTorch would have recorded of a trace on a card.

    Args:
        trace: The requests.
        recorded_from: Place in the trace at which the recording begins.
        until: Place in the trace at which the snapshot is taken; None is its end.
        frames: Call stack of every allocation.
        device: Index of the card.
        allocator: Who serves the requests; None makes one.
    """
    allocator = allocator or CachingAllocator(recording=True)
    addresses: dict[int, int] = {}
    begun = 0
    for place, entry in enumerate(trace.sequence[:until]):
        if place == recorded_from:
            begun = len(allocator.entries)
        if entry >= 0:
            addresses[entry] = allocator.allocate(trace.allocations[entry].bytes, owner=entry)
        else:
            allocator.free(addresses.pop(~entry))
    history = [
        {"action": e.action, "addr": e.address, "size": e.bytes, "stream": e.stream, "frames": list(frames)}
        for e in allocator.entries[begun:]
    ]
    segments = [_segment(segment, device) for segment in allocator.segments()]
    return {"segments": segments, "device_traces": [[]] * device + [history]}


def _segment(segment, device):
    return {
        "device": device,
        "address": segment.address,
        "total_size": segment.bytes,
        "stream": segment.stream,
        "segment_type": segment.pool,
        "segment_pool_id": (0, segment.private_pool),
        "is_expandable": segment.is_expandable,
        "blocks": [
            {"address": b.address, "size": b.bytes, "requested_size": b.requested_bytes, "state": b.state, "frames": []}
            for b in segment.blocks
        ],
    }
