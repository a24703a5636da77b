"""Snapshots of training steps whose truth is known: PyTorch's own, with its call stacks, on an emulated card."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from bigmodel_lab.memory.categories import UNKNOWN
from bigmodel_lab.memory.snapshot import read_snapshot
from tests.memory.recorded import FOLDER

FILES = sorted((FOLDER / "snapshots").glob("*.json.gz"))


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.name.partition(".")[0])
def written(request):
    """What benchmarks/gpu/snapshot_programs.py kept."""
    return json.loads(gzip.decompress(request.param.read_bytes()))


@pytest.fixture(scope="module")
def seen(written):
    """The same as a snapshot."""
    frames = [{"filename": filename, "name": name, "line": 1} for filename, name in written["frames"]]
    stacks = [[frames[number] for number in stack] for stack in written["stacks"]]

    def whole(entry):
        return {**entry, "frames": stacks[entry["frames"]]}

    segments = [{**s, "blocks": [whole(block) for block in s["blocks"]]} for s in written["segments"]]
    return read_snapshot({"segments": segments, "device_traces": [[whole(entry) for entry in written["history"]]]})


def test_the_kinds_are_there():
    """A transformer, a convnet and a recurrent net: attention, convolutions, cuDNN's one buffer of weights."""
    assert {path.name.partition(".")[0] for path in FILES} == {"transformer", "convnet", "lstm"}


def test_the_peak_is_what_the_card_counted(written, seen):
    """To the byte, with blocks that were not cut and given back since."""
    assert seen.peak_allocated_bytes == written["truth"]["peak_allocated_bytes"]


@pytest.mark.parametrize("category", ["parameter", "gradient", "optimizer_state"])
def test_what_is_kept_is_told_from_the_rest(written, seen, category):
    """Each block of that category in the end, and no other one."""
    blocks = [block for segment in seen.segments for block in segment.blocks if block.owner is not None]
    found = [block.address for block in blocks if seen.trace.allocations[block.owner].category == category]

    assert sorted(found) == written["truth"][category]


def test_gradients_of_the_first_step_are_gradients_too(written, seen):
    """They were given back in the recording, after the pass that made them."""
    gradients = sum(allocation.category == "gradient" for allocation in seen.trace.allocations)

    assert gradients == 2 * len(written["truth"]["gradient"])


def test_little_is_unknown(seen):
    """The batch, which lines of the script make, and scalars: 1 % of the requests."""
    shares = Counter(allocation.category for allocation in seen.trace.allocations)

    assert shares[UNKNOWN] <= 0.01 * shares.total() + 4
