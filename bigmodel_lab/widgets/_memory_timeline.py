"""Memory over a trace as a picture: categories stacked, phases marked, the capacity of the card as a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.categories import category_label, category_meaning, share_in_words
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.memory.timeline import Amounts, MemoryTimeline, PhaseSpan, timeline
from bigmodel_lab.units import format_bytes, format_number
from bigmodel_lab.widgets._memory_picture import WIDTH, MemoryPicture, fill, legend, letters, origin_label, wide
from bigmodel_lab.widgets._scale import Box, Scale
from bigmodel_lab.widgets._ticks import tick_label, ticks

_PLOT = Box(left=64, top=98, width=WIDTH - 64 - 168, height=252)
_SLICES = 120  # that tell something when the mouse is over them
_LABEL_HEIGHT = 15
_RIGHT_LETTERS = 23  # that fit to the right of the plot
_FAR_ABOVE = 3.0  # a capacity so many times the peak would leave no room for the picture


@dataclass(frozen=True)
class _Drawing:
    """What all parts of the picture share."""

    seen: MemoryTimeline
    x: Scale
    y: Scale
    capacity_bytes: int | None
    card: str

    @property
    def peak_entry(self) -> int:
        """Place of the peak among the moments that are drawn."""
        return self.seen.positions.index(self.seen.peak_position)


def draw_timeline(
    trace: RequestTrace,
    amounts: Amounts,
    *,
    title: str = "",
    capacity_bytes: int | None = None,
    card: str = "",
    recorded_on: str | None = None,
    points: int = 900,
) -> MemoryPicture:
    """The memory timeline of a simulated or recorded trace.

    Args:
        trace: The requests.
        amounts: What the allocator made of them: a replay, or a recorded snapshot.
        title: What it shows; empty takes "GPU memory".
        capacity_bytes: What tensors can have of the card; drawn as a line. None draws none.
        card: Name of that card.
        recorded_on: Name of the card that it was recorded on, maybe empty; None labels the picture as simulated.
        points: Most moments that are drawn, from 32.

    Raises:
        ConfigError: ``points`` is too small.
    """
    seen = timeline(trace, amounts, points)
    title = title or text("memory.timeline", "GPU memory")
    label = origin_label(recorded_on)
    if not seen.positions:
        words = text("memory.nothing", "Nothing was allocated.")
        return MemoryPicture(title, words, label, 70, letters(8, 50, words), _table(seen))
    drawing = _scaled(seen, capacity_bytes, card)
    below, height = _legend(drawing)
    parts = [*_phases(drawing), *_axes(drawing), *_stack(drawing), *_lines(drawing)]
    parts += [*_hovering(drawing), *_peak(drawing), *_right_labels(drawing), below]
    bottom = round(_PLOT.top + _PLOT.height + 46 + height)
    return MemoryPicture(title, _in_words(drawing), label, bottom, "".join(parts), _table(seen))


def _scaled(seen: MemoryTimeline, capacity_bytes: int | None, card: str) -> _Drawing:
    """The axes: as high as what was reserved, and as the capacity where that is not far above."""
    highest = max(seen.peak_reserved_bytes, seen.peak_allocated_bytes, 1)
    if capacity_bytes is not None and capacity_bytes <= _FAR_ABOVE * highest:
        highest = max(highest, capacity_bytes)
    x = Scale(0, max(seen.entries, 1), _PLOT.left, _PLOT.left + _PLOT.width)
    y = Scale(0, highest * 1.04, _PLOT.top + _PLOT.height, _PLOT.top)
    return _Drawing(seen, x, y, capacity_bytes, card)


def _steps(drawing: _Drawing, values: Sequence[float]) -> str:
    """A line that keeps each value until the next, in tenths of a pixel; what cannot be seen is left out."""
    pairs = zip(drawing.seen.positions, values, strict=True)
    points = [(round(drawing.x(position), 1), round(drawing.y(value), 1)) for position, value in pairs]
    (at, level), *rest = points
    written = [f"M{at:g} {level:g}"]
    for x, y in rest:
        if y != level:
            written.append(f"H{x:g}" * (x != at) + f"V{y:g}")
            at, level = x, y
    return "".join(written) + f"H{drawing.x(drawing.seen.entries):g}"


def _stack(drawing: _Drawing) -> Iterator[str]:
    """Each category reaches from the ground to the sum of those up to it; the sums of fewer lie in front."""
    layers: list[tuple[str, list[int]]] = []
    below = [0] * len(drawing.seen.positions)
    for category, amounts in drawing.seen.by_category.items():
        below = [a + b for a, b in zip(below, amounts, strict=True)]
        layers.append((category, below))
    ground, left = drawing.y(0), drawing.x(drawing.seen.positions[0])
    for category, sums in reversed(layers):
        yield f'<path {fill(category)} d="{_steps(drawing, sums)}V{ground:g}H{left:g}Z"/>'


def _lines(drawing: _Drawing) -> Iterator[str]:
    """What is reserved, what the card has, and the request that was too much."""
    seen = drawing.seen
    yield f'<path class="l" stroke-width="1.4" d="{_steps(drawing, seen.reserved)}"/>'
    right = _PLOT.left + _PLOT.width
    if drawing.capacity_bytes is not None and drawing.capacity_bytes <= drawing.y.high:
        level = drawing.y(drawing.capacity_bytes)
        beyond = f'height="{level - _PLOT.top:.1f}" fill-opacity=".1" stroke="none"'
        yield f'<rect class="w" x="{_PLOT.left}" y="{_PLOT.top}" width="{_PLOT.width}" {beyond}/>'
        yield f'<path class="w" stroke-width="1.6" stroke-dasharray="7 4" d="M{_PLOT.left} {level:.1f}H{right}"/>'
    if seen.stopped_at is not None:
        at = drawing.x(seen.stopped_at)
        words = text("memory.stopped", "Here a request did not fit.")
        line = f'd="M{at:.1f} {_PLOT.top}v{_PLOT.height}"'
        yield f'<path class="w" stroke-width="2" {line}><title>{escape(words)}</title></path>'


def _phases(drawing: _Drawing) -> Iterator[str]:
    """Names of steps and phases above the plot, and lines where one ends."""
    for step, start, stop in _runs_of_steps(drawing.seen.phases):
        left, right = drawing.x(start), drawing.x(stop)
        words = text("memory.step", "step {step}", step=step + 1)
        if step >= 0 and right - left > wide(words):
            yield letters((left + right) / 2, 48, words, "m q")
    for nth, span in enumerate(drawing.seen.phases):
        left, right = drawing.x(span.start), drawing.x(span.stop)
        shade = ' fill-opacity=".13"' if nth % 2 else ' fill-opacity=".06"'
        box = f'<rect x="{left:.1f}" y="54" width="{right - left:.1f}" height="17" fill="currentColor"{shade}/>'
        name = letters((left + right) / 2, 66, span.phase, "m") if right - left > wide(span.phase) + 4 else ""
        yield f"<g><title>{escape(_phase_hover(span))}</title>{box}{name}</g>"
        yield f'<path class="g" d="M{left:.1f} 54V{_PLOT.top + _PLOT.height}"/>'


def _runs_of_steps(phases: Sequence[PhaseSpan]) -> Iterator[tuple[int, int, int]]:
    """Step, first position, position after the last."""
    start = 0
    for nth, span in enumerate(phases):
        if nth + 1 == len(phases) or phases[nth + 1].step != span.step:
            yield span.step, phases[start].start, span.stop
            start = nth + 1


def _phase_hover(span: PhaseSpan) -> str:
    peak = text(
        "memory.phase_peak",
        "highest: {allocated} allocated, {reserved} reserved",
        allocated=format_bytes(span.peak_allocated_bytes),
        reserved=format_bytes(span.peak_reserved_bytes),
    )
    return f"{span.label}\n{peak}"


def _axes(drawing: _Drawing) -> Iterator[str]:
    bottom = _PLOT.top + _PLOT.height
    for mark in ticks(0, drawing.y.high, 5, "bytes"):
        at = drawing.y(mark)
        yield f'<path class="g" d="M{_PLOT.left} {at:.1f}h{_PLOT.width}"/>'
        yield letters(_PLOT.left - 6, at + 4, tick_label(mark, "bytes"), "e")
    for mark in ticks(0, drawing.seen.entries, 6):
        if mark == round(mark):
            yield letters(drawing.x(mark), bottom + 15, format_number(mark), "m")
    words = text("memory.axis", "requests and frees, in the order in which they come")
    yield letters(_PLOT.left + _PLOT.width / 2, bottom + 31, words, "m q")


def _peak(drawing: _Drawing) -> Iterator[str]:
    seen = drawing.seen
    at, level = drawing.x(seen.peak_position), drawing.y(seen.peak_allocated_bytes)
    words = _peak_words(seen)
    middle = min(max(at, _PLOT.left + wide(words) / 2), WIDTH - 8 - wide(words) / 2)
    yield letters(middle, 86, words, "m b")
    yield f'<path class="l" stroke-width="1" stroke-dasharray="2 2" d="M{at:.1f} 96V{level:.1f}"/>'
    yield f'<path fill="currentColor" d="M{at - 4:.1f} 90h8l-4 6z"/>'


def _peak_words(seen: MemoryTimeline) -> str:
    span = seen.phase_at(seen.peak_position)
    peak = text("memory.peak", "peak {size} allocated", size=format_bytes(seen.peak_allocated_bytes))
    return f"{peak} · {span.label}" if span else peak


def _right_labels(drawing: _Drawing) -> Iterator[str]:
    """Names of the lines at their height, moved apart where they would lie on each other."""
    seen, capacity = drawing.seen, drawing.capacity_bytes
    rows = [
        (
            seen.peak_reserved_bytes,
            text("memory.reserved_peak", "{size} reserved", size=format_bytes(seen.peak_reserved_bytes)),
            "",
        ),
        (
            seen.peak_allocated_bytes,
            text("memory.allocated_peak", "{size} allocated", size=format_bytes(seen.peak_allocated_bytes)),
            "b",
        ),
    ]
    if capacity is not None:
        rows.append((capacity, _capacity_words(drawing), "w b" if capacity <= drawing.y.high else "q"))
    rows.sort(key=lambda row: -row[0])
    heights = _apart([drawing.y(value) for value, *_ in rows])
    right = _PLOT.left + _PLOT.width
    for (value, words, kind), height in zip(rows, heights, strict=True):
        if value <= drawing.y.high:
            yield f'<path class="l" stroke-opacity=".5" d="M{right} {drawing.y(value):.1f}L{right + 9} {height:.1f}"/>'
        yield letters(right + 12, height + 4, words, kind)


def _capacity_words(drawing: _Drawing) -> str:
    size = format_bytes(drawing.capacity_bytes or 0)
    arrow = "↑ " if (drawing.capacity_bytes or 0) > drawing.y.high else ""
    whole = text("memory.capacity_of", "{card}: {size} usable", card=drawing.card, size=size)
    short = text("memory.capacity", "{size} usable", size=size)
    return arrow + (whole if drawing.card and len(whole) <= _RIGHT_LETTERS else short)


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights from top to bottom, each at least one line of text below the one before and all within the plot.

    >>> _apart([100.0, 101.0, 300.0])
    [100.0, 115.0, 300.0]
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + _LABEL_HEIGHT) if moved else height)
    lowest = _PLOT.top + _PLOT.height
    for nth in reversed(range(len(moved))):
        moved[nth] = min(moved[nth], lowest)
        lowest = moved[nth] - _LABEL_HEIGHT
    return moved


def _hovering(drawing: _Drawing) -> Iterator[str]:
    """Narrow stretches that tell the highest moment within them."""
    seen = drawing.seen
    slices = min(_SLICES, seen.entries)
    groups: dict[int, int] = {}
    for place, position in enumerate(seen.positions):
        nth = position * slices // seen.entries
        if nth not in groups or seen.allocated[place] > seen.allocated[groups[nth]]:
            groups[nth] = place
    for nth, place in groups.items():
        left, right = (drawing.x(seen.entries * (nth + more) / slices) for more in (0, 1))
        box = f'x="{left:.1f}" y="{_PLOT.top}" width="{right - left:.1f}" height="{_PLOT.height}"'
        yield f'<rect class="h" {box}><title>{escape(_moment(seen, place))}</title></rect>'


def _moment(seen: MemoryTimeline, place: int) -> str:
    """All that is known of one moment, the largest category first."""
    span = seen.phase_at(seen.positions[place])
    when = text(
        "memory.moment",
        "after {position} of {entries}",
        position=format_number(seen.positions[place] + 1),
        entries=format_number(seen.entries),
    )
    both = text(
        "memory.both",
        "{allocated} allocated, {reserved} reserved",
        allocated=format_bytes(seen.allocated[place]),
        reserved=format_bytes(seen.reserved[place]),
    )
    held = sorted(((amounts[place], name) for name, amounts in seen.by_category.items()), reverse=True)
    lines = [f"{category_label(name)}: {format_bytes(amount)}" for amount, name in held if amount]
    return "\n".join([f"{span.label}, {when}" if span else when, both, *lines])


def _legend(drawing: _Drawing) -> tuple[str, float]:
    """Categories with their bytes at the peak."""
    seen = drawing.seen
    whole = seen.peak_allocated_bytes
    entries = [
        (
            fill(category),
            f"{category_label(category)} {format_bytes(amount)} ({share_in_words(amount, whole)})",
            category_meaning(category),
        )
        for category, amount in _at_peak(drawing)
    ]
    words = text("memory.reserved_line", "reserved by the allocator")
    meaning = text("memory.reserved.meaning", "Segments from the driver, in use or kept for reuse.")
    top = _PLOT.top + _PLOT.height + 40
    head = text("memory.at_peak", "At the peak:")
    drawn, height = legend([*entries, ("", words, meaning)], top + 16)
    return letters(8, top + 10, head, "q") + drawn, height + 16


def _at_peak(drawing: _Drawing) -> list[tuple[str, int]]:
    place = drawing.peak_entry
    return [(category, amounts[place]) for category, amounts in drawing.seen.by_category.items()]


def _in_words(drawing: _Drawing) -> str:
    seen = drawing.seen
    shares = ", ".join(f"{category_label(name)} {format_bytes(amount)}" for name, amount in _at_peak(drawing) if amount)
    return text(
        "memory.timeline_in_words",
        "Allocated memory over {entries} requests and frees, by category; {peak}: {shares}; {reserved} reserved at most.",
        entries=format_number(seen.entries),
        peak=_peak_words(seen),
        shares=shares,
        reserved=format_bytes(seen.peak_reserved_bytes),
    )


def _table(seen: MemoryTimeline) -> Table:
    heads = (
        text("memory.phase", "phase"),
        text("memory.highest_allocated", "highest allocated"),
        text("memory.highest_reserved", "highest reserved"),
    )
    whole = (
        text("memory.whole", "all"),
        format_bytes(seen.peak_allocated_bytes),
        format_bytes(seen.peak_reserved_bytes),
    )
    rows = [(s.label, format_bytes(s.peak_allocated_bytes), format_bytes(s.peak_reserved_bytes)) for s in seen.phases]
    return Table(heads, (*rows, whole), right={1, 2})
