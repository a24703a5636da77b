"""The allocator's map as a picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from pictures import SVG, hovers, texts, tree

from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.memory.snapshot import read_snapshot
from bigmodel_lab.units import format_bytes
from bigmodel_lab.widgets._allocator_map import LARGEST_PICTURE_BYTES, draw_allocator_map
from tests.memory.snapshots import snapshot_of
from tests.memory.traces import KIB, MIB, training_trace

WEIGHT = Allocation(3 * MIB, "parameter", "encoder.layer.3", "aten.empty", (1024, 768), "float32")
TRACE = RequestTrace((WEIGHT, Allocation(5 * MIB, "activation", "head", "aten.addmm")), (0, 1))


def held(trace, until=None):
    """Segments after a part of a trace."""
    return replay(trace, until=until).allocator.segments()


def boxes(picture, category):
    """Widths of the boxes in the colour of a category's class."""
    groups = [g for g in tree(picture).iter(f"{SVG}g") if g.get("class") == category]
    return [float(r.get("width")) for g in groups for r in g.iter(f"{SVG}rect")]


def many_blocks(count, category="activation"):
    """So many small allocations side by side, every third given back."""
    trace = RequestTrace(
        tuple(Allocation(512 * (1 + n % 7), category, f"layer.{n}") for n in range(count)),
        (*range(count), *(~n for n in range(0, count, 3))),
    )
    return trace, held(trace)


def test_hovering_tells_the_owner():
    """Module, maker, shape, number format, category and bytes of a block, one a line."""
    picture = draw_allocator_map(held(TRACE), TRACE)

    assert "encoder.layer.3\naten.empty\n1024 × 768 float32\nparameters: 3 MiB" in hovers(picture)


def test_a_longer_block_tells_what_was_requested():
    """The difference of block and request is said."""
    trace = RequestTrace((Allocation(1000, "input", "", "aten.to"),), (0,))

    assert "aten.to\ninput: 1 KiB (1000 B requested)" in hovers(draw_allocator_map(held(trace), trace))


def test_widths_are_bytes():
    """Blocks are as wide as they are long."""
    picture = draw_allocator_map(held(TRACE), TRACE)

    assert sum(boxes(picture, "k3")) / sum(boxes(picture, "k0")) == pytest.approx(5 / 3, rel=0.01)


def test_everything_is_drawn_once():
    """The widths of all boxes, with what is free, add up to what is reserved."""
    trace = training_trace(layers=6, width=600, batch=900)
    picture = draw_allocator_map(held(trace, 60), trace)
    (large,) = [words for words in texts(picture) if words.startswith("full width")][:1]
    outlines = [e for e in tree(picture).iter(f"{SVG}rect") if e.get("class") == "o"]
    drawn = [e for e in tree(picture).iter(f"{SVG}rect") if e.get("class") == "z"]

    assert large
    assert sum(float(e.get("width")) for e in drawn) == pytest.approx(
        sum(float(e.get("width")) for e in outlines), rel=0.02
    )


def test_free_stretches_are_pale_and_say_so():
    """What is free has no owner, only its length."""
    picture = draw_allocator_map(held(TRACE), TRACE)

    assert "free: 12 MiB" in hovers(picture)
    assert boxes(picture, "f")


def test_pools_have_their_headings():
    """Each pool says how much it reserves, in how many segments, what is in use and the longest free stretch."""
    trace = RequestTrace((*TRACE.allocations, Allocation(512, "input")), (0, 1, 2))
    said = texts(draw_allocator_map(held(trace), trace))

    assert "Large pool: 20 MiB in 1 segment, 8 MiB in use, longest free stretch 12 MiB" in said
    assert "Small pool (requests up to 1 MiB): 2 MiB in 1 segment, 512 B in use, longest free stretch 2 MiB" in said


def test_streams_and_private_pools_are_named():
    """A pool that is not the common one says whose it is."""
    blocks = (Block(0, 2 * MIB, 0, "inactive"),)
    picture = draw_allocator_map(
        [Segment(0, 2 * MIB, "large", 9, blocks), Segment(2**40, 2 * MIB, "small", 0, blocks, private_pool=4)]
    )

    assert any(words.startswith("Large pool, stream 9: ") for words in texts(picture))
    assert any("1 MiB), private pool 4: " in words for words in texts(picture))


def test_a_block_that_waits_says_so():
    """Given back, but another stream may still use it."""
    blocks = (Block(0, 2 * MIB, 2 * MIB, "active_pending_free", 0),)
    picture = draw_allocator_map([Segment(0, 2 * MIB, "large", 0, blocks)], TRACE)

    assert any("waiting for a stream: 2 MiB" in words for words in hovers(picture))


def test_small_neighbours_are_joined_with_a_count():
    """Blocks too small to be seen become one that tells how many they are and what they hold."""
    trace, segments = many_blocks(3000)
    said = [words for words in hovers(draw_allocator_map(segments, trace)) if " small blocks, " in words]

    assert said
    assert all("activations: " in words or "free: " in words for words in said)


@pytest.mark.parametrize("count", [0, 1, 300, 6000, 30_000])
def test_it_stays_small(count):
    """However many blocks there are, the picture has at most 300 kB and is well-formed."""
    trace, segments = many_blocks(count)
    picture = draw_allocator_map(segments, trace)

    assert len(picture.html().encode()) <= LARGEST_PICTURE_BYTES
    assert ET.fromstring(picture.svg()).tag == f"{SVG}svg"


def test_many_segments_do_not_make_it_endless():
    """A thousand segments are packed side by side into a picture of one page."""
    trace = RequestTrace(tuple(Allocation(20 * MIB, "parameter", f"m.{n}") for n in range(1000)), tuple(range(1000)))

    assert draw_allocator_map(held(trace), trace).height < 800


def test_many_pools_are_counted():
    """Beyond twelve pools the smaller ones are said, not drawn."""
    blocks = (Block(0, MIB, 0, "inactive"),)
    segments = [Segment(n * 2**30, MIB, "large", n, blocks) for n in range(15)]

    assert "3 smaller pools with 3 MiB are not drawn." in texts(draw_allocator_map(segments))


def test_names_cannot_break_out():
    """A module with markup is shown as text."""
    trace = RequestTrace((Allocation(MIB, "input", "<b>&\"'", "aten.to"),), (0,))

    assert any(words.startswith("<b>&\"'\n") for words in hovers(draw_allocator_map(held(trace), trace, title="<i>")))


def test_without_a_trace_owners_are_unknown():
    """Blocks in use are there, and nobody knows what for."""
    assert "not recorded: 3 MiB" in hovers(draw_allocator_map(held(TRACE)))


def test_a_recorded_snapshot_is_drawn():
    """The same renderer draws a snapshot of a real card."""
    seen = read_snapshot(snapshot_of(TRACE), card="L4")
    picture = draw_allocator_map(seen.segments, seen.trace, recorded_on=seen.card)

    assert "recorded on L4" in texts(picture)
    assert "not recorded: 3 MiB" in hovers(picture)


def test_the_legend_has_what_occurs():
    """Categories in use with their bytes, and what is free; nothing else."""
    said = " ".join(texts(draw_allocator_map(held(TRACE), TRACE)))

    assert re.search(r"parameters 3 MiB activations 5 MiB free 12 MiB$", said)


def test_the_table_has_a_row_a_pool():
    """As text the map is a table of its pools."""
    (row,) = draw_allocator_map(held(TRACE), TRACE).table.rows

    assert row == ("Large pool", "1", "20 MiB", "8 MiB", "12 MiB", "12 MiB")


def test_it_is_described_in_words():
    """The description sums everything up."""
    trace = training_trace()
    played = replay(trace)
    said = draw_allocator_map(played.allocator.segments(), trace).description

    assert f"hold {format_bytes(played.reserved[-1])}" in said
    assert f"{format_bytes(played.allocated[-1])} in use" in said


def test_an_empty_allocator_is_said():
    """Where nothing is held, one line says so."""
    assert "The allocator holds nothing." in texts(draw_allocator_map([]))


def test_a_small_block_in_a_huge_segment_is_there():
    """A tiny block beside gigabytes is part of a piece that can be hovered."""
    trace = RequestTrace((Allocation(4 * 2**30, "parameter"), Allocation(2 * MIB + KIB, "input")), (0, 1))
    said = " ".join(hovers(draw_allocator_map(held(trace), trace)))

    assert "input: 2 MiB" in said
