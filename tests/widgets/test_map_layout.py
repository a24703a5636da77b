"""Where segments and blocks lie on the allocator's map."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.widgets._map_layout import cut, pieces, placed, pools, row_bytes

MIB = 2**20


def segment(blocks, *, address=0, pool="large", stream=0, private_pool=0):
    """A segment of blocks of these lengths, every second one free."""
    made, at = [], address
    for nth, length in enumerate(blocks):
        made.append(Block(at, length, length, "inactive" if nth % 2 else "active_allocated"))
        at += length
    return Segment(address, at - address, pool, stream, tuple(made), private_pool=private_pool)


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=30).map(lambda some: [512 * n for n in some])


@given(st.lists(lengths, min_size=1, max_size=25))
@settings(max_examples=60, deadline=None)
def test_segments_never_lie_on_each_other(some):
    """In no row do two strips overlap, none leaves its row, and every byte of a segment is drawn once."""
    (pool,) = pools([segment(blocks, address=n * 2**30) for n, blocks in enumerate(some)])
    width = row_bytes(pool, pool.bytes)
    rows = {}
    for own, strips in zip(pool.segments, placed(pool, width), strict=True):
        assert sum(strip.bytes for strip in strips) == own.bytes
        for strip in strips:
            rows.setdefault(strip.row, []).append((strip.left_bytes, strip.left_bytes + strip.bytes))
    for taken in rows.values():
        taken.sort()
        assert taken[-1][1] <= width
        assert all(a[1] <= b[0] for a, b in pairwise(taken))


@given(lengths, st.integers(1, 30_000))
@settings(max_examples=60, deadline=None)
def test_joining_loses_no_block(blocks, narrow):
    """The pieces have every block once, in order, without gaps; only small blocks are joined."""
    one = segment(blocks)
    found = pieces(one, narrow)

    assert [block for piece in found for block in piece.blocks] == list(one.blocks)
    assert [piece.start for piece in found] == [sum(p.bytes for p in found[:n]) for n in range(len(found))]
    assert all(block.bytes < narrow for piece in found if len(piece.blocks) > 1 for block in piece.blocks)


def test_what_can_be_seen_stays_alone():
    """A block that is wide enough is never joined with small neighbours."""
    found = pieces(segment([512, 512, 8192, 512]), 1024)

    assert [len(piece.blocks) for piece in found] == [2, 1, 1]


def test_a_run_of_small_blocks_is_cut():
    """Many small blocks become several pieces, so that their places can be told."""
    assert len(pieces(segment([512] * 60), 1024)) > 5


def test_a_long_segment_goes_over_rows():
    """What is longer than a row begins a row and goes on in the next ones."""
    (pool,) = pools([segment([10 * MIB])])
    (strips,) = placed(pool, 4 * MIB)

    assert [(s.row, s.left_bytes, s.start, s.bytes) for s in strips] == [
        (0, 0, 0, 4 * MIB),
        (1, 0, 4 * MIB, 4 * MIB),
        (2, 0, 8 * MIB, 2 * MIB),
    ]


def test_the_rest_of_a_row_is_used():
    """A small segment takes the room that a long one left in its last row."""
    (pool,) = pools([segment([10 * MIB]), segment([MIB], address=2**40)])

    assert placed(pool, 4 * MIB)[1][0].row == 2


def test_a_block_over_two_rows_is_cut():
    """It is drawn in both."""
    (pool,) = pools([segment([3 * MIB, 3 * MIB])])
    (strips,) = placed(pool, 4 * MIB)
    second = pieces(pool.segments[0], 1)[1]

    assert list(cut(second, strips)) == [(0, 3 * MIB, MIB), (1, 0, 2 * MIB)]


def test_pools_stay_apart():
    """Streams, private pools and the small pool are pools of their own, the common large one first."""
    found = pools(
        [
            segment([512], pool="small"),
            segment([512], private_pool=7),
            segment([512], stream=3),
            segment([512]),
        ]
    )

    assert [(p.kind, p.stream, p.private_pool) for p in found] == [
        ("large", 0, 0),
        ("small", 0, 0),
        ("large", 3, 0),
        ("large", 0, 7),
    ]


def test_the_longest_segment_comes_first():
    """Within a pool segments are sorted by length."""
    (pool,) = pools([segment([512]), segment([2048]), segment([1024])])

    assert [s.bytes for s in pool.segments] == [2048, 1024, 512]


def test_a_pool_knows_what_is_free():
    """In use, and the longest stretch that is free."""
    (pool,) = pools([segment([4096, 1024, 512, 2048])])

    assert (pool.bytes, pool.used_bytes, pool.longest_free_bytes) == (7680, 4608, 2048)


def test_rows_are_filled_by_equal_segments():
    """A row is a multiple of the segments that it takes, so that nothing is left at its end."""
    (pool,) = pools([segment([2 * MIB], address=n * 2**30) for n in range(17)])

    assert row_bytes(pool, pool.bytes) % (2 * MIB) == 0
