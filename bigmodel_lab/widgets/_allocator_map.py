"""What an allocator holds at one moment as a picture: segments, their blocks by category, and what is free."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from html import escape

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.categories import SHOWN, UNKNOWN, category_label, category_meaning, known
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.memory.timeline import shape_in_words
from bigmodel_lab.units import format_bytes, format_number
from bigmodel_lab.widgets._map_layout import Piece, Pool, Strip, cut, pieces, placed, pools, row_bytes
from bigmodel_lab.widgets._memory_picture import WIDTH, MemoryPicture, fill, legend, letters, origin_label

LARGEST_PICTURE_BYTES = 300_000
"""A map is drawn coarser until it is not longer than this."""
_NARROWEST = (1.5, 3.0, 6.0, 12.0, 25.0, 50.0)  # pixels of a block that is drawn alone
_LEFT, _ROW_WIDTH = 8.0, WIDTH - 16.0
_ROW, _ROW_GAP = 17.0, 5.0
_MOST_POOLS = 12
_FREE, _WAITING = "free", "waiting"
_FREE_LOOK = 'class="f"'


def draw_allocator_map(
    segments: Sequence[Segment],
    trace: RequestTrace | None = None,
    *,
    title: str = "",
    recorded_on: str | None = None,
) -> MemoryPicture:
    """The segments of an allocator with their blocks, widths by bytes; hovering tells who owns a block.

    Small blocks that lie side by side are joined into one that tells their number, the more of them the
    fuller the map, so that it stays below 300 kB.

    Args:
        segments: Of a simulated allocator, or of a recorded snapshot.
        trace: Whose allocations the ``owner`` of a block counts; None where nobody knows owners.
        title: What it shows; empty takes "Allocator map".
        recorded_on: Name of the card that it was recorded on, maybe empty; None labels the picture as simulated.
    """
    allocations = () if trace is None else trace.allocations
    label = origin_label(recorded_on)
    title = title or text("memory.map", "Allocator map")
    for narrowest in _NARROWEST:
        drawn = _picture(segments, allocations, narrowest, title, label)
        if len(drawn.html().encode()) <= LARGEST_PICTURE_BYTES:
            break
    return drawn


def _picture(
    segments: Sequence[Segment], allocations: Sequence[Allocation], narrowest: float, title: str, label: str
) -> MemoryPicture:
    """The map with blocks drawn alone from so many pixels on."""
    found = pools(segments)
    if not found:
        words = text("memory.map_empty", "The allocator holds nothing.")
        return MemoryPicture(title, words, label, 70, letters(8, 50, words), _table(found))
    whole = sum(pool.bytes for pool in found)
    shown = sorted(sorted(found, key=lambda pool: -pool.bytes)[:_MOST_POOLS], key=found.index)
    parts, top = [], 36.0
    for pool in shown:
        drawn, height = _pool(pool, row_bytes(pool, whole), allocations, narrowest, top)
        parts.append(drawn)
        top += height
    if len(shown) < len(found):
        parts.append(letters(_LEFT, top + 12, _not_shown(found, shown), "q"))
        top += 20
    drawn, height = legend(_legend(found, allocations), top + 4)
    return MemoryPicture(
        title, _in_words(found), label, round(top + height + 8), "".join([*parts, drawn]), _table(found)
    )


def _pool(pool: Pool, width: int, allocations: Sequence[Allocation], narrowest: float, top: float) -> tuple[str, float]:
    """One pool with its heading, and the height that it takes."""
    strips = placed(pool, width)
    per_byte = _ROW_WIDTH / width
    rects: dict[str, list[str]] = defaultdict(list)  # by what they look alike, so that the colour is written once
    for segment, own in zip(pool.segments, strips, strict=True):
        for piece in pieces(segment, narrowest / per_byte):
            look = _look(piece, allocations)
            boxes = "".join(_box(*part, per_byte, top + 18) for part in cut(piece, own))
            rects[look].append(f"<g><title>{escape(_piece_hover(piece, allocations))}</title>{boxes}</g>")
    rows = 1 + max(strip.row for own in strips for strip in own)
    scale = text("memory.row_scale", "full width: {size}", size=format_bytes(width))
    parts = [letters(_LEFT, top + 11, _pool_words(pool), "b"), letters(WIDTH - 8, top + 11, scale, "e q")]
    parts += [
        f'<g {look} stroke="currentColor" stroke-width=".4" stroke-opacity=".5">{"".join(some)}</g>'
        for look, some in rects.items()
    ]
    parts += [_outline(strip, per_byte, top + 18) for own in strips for strip in own]
    return "".join(parts), 18 + rows * (_ROW + _ROW_GAP) + 10


def _box(row: int, left: int, length: int, per_byte: float, top: float) -> str:
    x, wide = _LEFT + left * per_byte, length * per_byte
    return f'<rect class="z" x="{x:.1f}" y="{top + row * (_ROW + _ROW_GAP):g}" width="{wide:.1f}" height="{_ROW:g}"/>'


def _outline(strip: Strip, per_byte: float, top: float) -> str:
    """The border of a segment; it lets the mouse through."""
    x, y = _LEFT + strip.left_bytes * per_byte, top + strip.row * (_ROW + _ROW_GAP)
    size = f'width="{strip.bytes * per_byte:.1f}" height="{_ROW:g}"'
    return f'<rect class="o" pointer-events="none" x="{x:.1f}" y="{y:g}" {size}/>'


def _category(block: Block, allocations: Sequence[Allocation]) -> str:
    if block.state == "inactive":
        return _FREE
    if block.state == "active_pending_free":
        return _WAITING
    return UNKNOWN if block.owner is None or not allocations else known(allocations[block.owner].category)


def _bytes_by_category(blocks: Sequence[Block], allocations: Sequence[Allocation]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for block in blocks:
        sums[_category(block, allocations)] += block.bytes
    return sums


def _look(piece: Piece, allocations: Sequence[Allocation]) -> str:
    """Attributes that colour a piece: by the category that most of it belongs to."""
    return _look_of(_bytes_by_category(piece.blocks, allocations).most_common(1)[0][0])


def _look_of(category: str) -> str:
    if category == _FREE:
        return _FREE_LOOK
    return f'{fill(UNKNOWN)} fill-opacity=".45"' if category == _WAITING else fill(category)


def _label(category: str) -> str:
    if category == _FREE:
        return text("memory.free", "free")
    return text("memory.waiting", "waiting for a stream") if category == _WAITING else category_label(category)


def _meaning(category: str) -> str:
    if category == _FREE:
        return text("memory.free.meaning", "Held from the driver and not in use: for later requests that fit in.")
    if category == _WAITING:
        return text("memory.waiting.meaning", "Given back by the program, but another CUDA stream may still use it.")
    return category_meaning(category)


def _piece_hover(piece: Piece, allocations: Sequence[Allocation]) -> str:
    if len(piece.blocks) == 1:
        return _block_hover(piece.blocks[0], allocations)
    head = text(
        "memory.joined",
        "{count} small blocks, {size}",
        count=format_number(len(piece.blocks)),
        size=format_bytes(piece.bytes),
    )
    sums = _bytes_by_category(piece.blocks, allocations).most_common()
    return "\n".join([head, *(f"{_label(category)}: {format_bytes(held)}" for category, held in sums)])


def _block_hover(block: Block, allocations: Sequence[Allocation]) -> str:
    """Who owns a block: module, maker, shape, number format, what it is for, its length."""
    size = f"{_label(_category(block, allocations))}: {format_bytes(block.bytes)}"
    if block.state == "inactive" or block.owner is None or not allocations:
        return size
    owner = allocations[block.owner]
    if block.requested_bytes != block.bytes:
        size += " " + text("memory.requested", "({size} requested)", size=format_bytes(block.requested_bytes))
    tensor = " ".join(part for part in (shape_in_words(owner.shape), owner.dtype) if part)
    return "\n".join(part for part in (owner.module, owner.maker, tensor, size) if part)


def _legend(found: Sequence[Pool], allocations: Sequence[Allocation]) -> Iterator[tuple[str, str, str]]:
    sums = _bytes_by_category([block for pool in found for block in pool.blocks()], allocations)
    for category in (*SHOWN, _WAITING, _FREE):
        if category in sums:
            look = f'{_look_of(category)} stroke="currentColor" stroke-width=".5"'
            yield look, f"{_label(category)} {format_bytes(sums[category])}", _meaning(category)


def _pool_words(pool: Pool) -> str:
    return text(
        "memory.pool_line",
        "{pool}: {reserved} in {segments}, {used} in use, longest free stretch {longest}",
        pool=_pool_name(pool),
        reserved=format_bytes(pool.bytes),
        segments=_segments_words(len(pool.segments)),
        used=format_bytes(pool.used_bytes),
        longest=format_bytes(pool.longest_free_bytes),
    )


def _segments_words(count: int) -> str:
    if count == 1:
        return text("memory.one_segment", "1 segment")
    return text("memory.segments", "{count} segments", count=format_number(count))


def _pool_name(pool: Pool) -> str:
    small = text("memory.small_pool", "Small pool (requests up to 1 MiB)")
    name = small if pool.kind == "small" else text("memory.large_pool", "Large pool")
    if pool.stream:
        name += text("memory.of_stream", ", stream {stream}", stream=pool.stream)
    if pool.private_pool:
        name += text("memory.of_graph", ", private pool {number}", number=pool.private_pool)
    return name


def _not_shown(found: Sequence[Pool], shown: Sequence[Pool]) -> str:
    rest = sum(pool.bytes for pool in found) - sum(pool.bytes for pool in shown)
    message = "{count} smaller pools with {size} are not drawn."
    return text("memory.pools_left_out", message, count=len(found) - len(shown), size=format_bytes(rest))


def _in_words(found: Sequence[Pool]) -> str:
    whole, used = sum(pool.bytes for pool in found), sum(pool.used_bytes for pool in found)
    return text(
        "memory.map_in_words",
        "{segments} hold {reserved}: {used} in use, {free} free, the longest free stretch {longest}.",
        segments=_segments_words(sum(len(pool.segments) for pool in found)),
        reserved=format_bytes(whole),
        used=format_bytes(used),
        free=format_bytes(whole - used),
        longest=format_bytes(max(pool.longest_free_bytes for pool in found)),
    )


def _table(found: Sequence[Pool]) -> Table:
    heads = (
        text("memory.pool", "pool"),
        text("memory.segment_count", "segments"),
        text("memory.reserved_bytes", "reserved"),
        text("memory.used_bytes", "in use"),
        text("memory.free_bytes", "free"),
        text("memory.longest_free", "longest free"),
    )
    rows = tuple(
        (
            _pool_name(pool),
            format_number(len(pool.segments)),
            *(
                format_bytes(n)
                for n in (pool.bytes, pool.used_bytes, pool.bytes - pool.used_bytes, pool.longest_free_bytes)
            ),
        )
        for pool in found
    )
    return Table(heads, rows, right=range(1, 6))
