"""A run as one picture: every chart with its axes, in pure Python, as SVG."""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape
from textwrap import shorten

from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Source
from bigmodel_lab.units import format_number, format_seconds
from bigmodel_lab.widgets._panels import Panel, Series, panels
from bigmodel_lab.widgets._scale import Box, Scale
from bigmodel_lab.widgets._spec import badge
from bigmodel_lab.widgets._state import RunState, StateReader
from bigmodel_lab.widgets._strings import STATUS
from bigmodel_lab.widgets._ticks import log_ticks, tick_label, ticks
from bigmodel_lab.widgets._tips import held, top_lines

PALETTE = ("#1f6feb", "#d1570a", "#1a7f37", "#8250df", "#bf3989", "#6e7781")
"""Colours of the lines on white, by index; each has a contrast of at least 3:1."""

_WIDEST_BYTES = 60_000
_BUCKETS = (120, 80, 48, 24, 12)
_PANEL_WIDTH, _PANEL_HEIGHT, _GAP, _HEADER = 300, 190, 12, 62
_LINE, _LETTER = 18, 6.1  # height of a line of text, and a little more than the width of a letter
_STYLE = (
    "text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#57606a}"
    ".h{font-size:16px;font-weight:600;fill:#1f2328}.t{font-size:12.5px;font-weight:600;fill:#1f2328}"
    ".e{text-anchor:end}.m{text-anchor:middle}.k{fill:#1f2328}"
    ".b{fill:none;stroke-width:1.6;stroke-linejoin:round}.d{stroke-dasharray:5 4}.r{fill-opacity:.25;stroke-opacity:.55;stroke-width:.7}"
    ".g{stroke:#d8dee4;stroke-width:1}.w{fill:#a51d24;font-weight:600}"
)


def picture(source: Source, size: int = 960, note: str = "") -> str:
    """The run as an SVG document of at most about 60 kB, on a white card: charts, what waits, the first tips.

    Args:
        source: The run.
        size: Width in pixels; the height follows from the number of charts.
        note: A line of text below the header; empty for none.
    """
    for buckets in _BUCKETS:
        drawn = _document(source, size, note, panels(source, buckets))
        if len(drawn.encode()) <= _WIDEST_BYTES:
            break
    return drawn


def _document(source: Source, width: int, note: str, all_panels: list[Panel]) -> str:
    filled = [panel for panel in all_panels if panel.series]
    missing = [panel for panel in all_panels if not panel.series]
    columns = max(1, min((width - _GAP) // (_PANEL_WIDTH + _GAP), len(filled) or 1))
    panel_width = (width - _GAP) / columns - _GAP
    state = StateReader(source).read()
    above = _above(note, state)
    top = _HEADER + _LINE * len(above)
    parts = [*_header(source, state, width), *_lines(above, _HEADER + 6, width)]
    for nth, panel in enumerate(filled):
        left = _GAP + (nth % columns) * (panel_width + _GAP)
        parts += _panel(panel, left, top + nth // columns * (_PANEL_HEIGHT + _GAP), panel_width)
    bottom = top + -(-len(filled) // columns) * (_PANEL_HEIGHT + _GAP)
    parts += _missing(missing, bottom)
    height = bottom + 16 * len(missing) + (10 if missing else 0)
    tips = _tips(source)
    parts += _lines(tips, height + 12, width)
    height += _LINE * len(tips) + (4 if tips else 0)
    title, description = _in_words(source, state, filled)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        f'<style>{_STYLE}</style><rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" '
        f'fill="#fff" stroke="#d0d7de"/>{"".join(parts)}</svg>'
    )


def _above(note: str, state: RunState) -> list[tuple[str, str]]:
    """What stands between header and charts: the note, and what a step waits for."""
    told = held(state)
    waits = [("w", told["title"]), ("", told["sentence"])] if told is not None and told["waits"] else []
    return [*([("", note)] if note else []), *waits]


def _lines(lines: Iterable[tuple[str, str]], top: float, width: int) -> list[str]:
    """Lines of text, each with its class, cut where the picture ends; those of the class ``n`` are set in."""
    letters = int((width - 3 * _GAP) / _LETTER)
    cut = [(css, _GAP + (10 if css == "n" else 2), shorten(line, letters, placeholder=" …")) for css, line in lines]
    return [
        f'<text class="{css}" x="{left}" y="{top + _LINE * nth:.0f}">{escape(line)}</text>'
        for nth, (css, left, line) in enumerate(cut)
    ]


def _tips(source: Source) -> list[tuple[str, str]]:
    """The first tips: a heading, then for each its title and its numbers."""
    found = top_lines(source.proposals())
    lines = [(css, line) for title, numbers in found for css, line in (("k", f"• {title}"), ("n", numbers)) if line]
    return [("t", text("dashboard.tips", "Tips")), *lines] if found else []


def _header(source: Source, state: RunState, width: int) -> list[str]:
    header = source.header()
    name = escape(str(header["name"]))
    of = f" / {format_number(state.total_steps)}" if state.total_steps else ""
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(header["started_wall_ns"]) / 1e9))
    facts = [
        str(STATUS[state.status]),
        text("picture.steps", "step {step}{of}", step=format_number(state.step), of=of),
        format_seconds(state.elapsed),
        str(header.get("device") or ""),
        begun,
    ]
    shown = " · ".join(escape(fact) for fact in facts if fact)
    parts = [f'<text class="h" x="{_GAP + 2}" y="27">{name}</text>', f'<text x="{_GAP + 2}" y="46">{shown}</text>']
    return parts + _pill(badge(str(header["origin"])), width)


def _pill(label: str, width: int) -> list[str]:
    if not label:
        return []
    wide = 8 * len(label) + 22
    left = width - _GAP - wide
    return [
        f'<rect x="{left}" y="13" width="{wide}" height="22" rx="11" fill="#fff1e5" stroke="#bc4c00"/>',
        f'<text class="m" x="{left + wide / 2}" y="28" style="fill:#953800;font-weight:600">{escape(label)}</text>',
    ]


def _missing(missing: Iterable[Panel], top: float) -> list[str]:
    lines = (f"{panel.chart.title}: {panel.reason}" for panel in missing)
    return [f'<text x="{_GAP + 2}" y="{top + 12 + 16 * n}">{escape(line)}</text>' for n, line in enumerate(lines)]


def _panel(panel: Panel, left: float, top: float, width: float) -> list[str]:
    legend, rows = _legend(panel, left + 2, top + 29, width)
    box = Box(left + 58, top + 24 + 14 * rows, width - 66, _PANEL_HEIGHT - 44 - 14 * rows)
    x = Scale(*panel.x_range, box.left, box.left + box.width)
    y = Scale(*panel.y_range, box.top + box.height, box.top, logarithmic=panel.logarithmic)
    log = " " + text("picture.log", "(log scale)") if panel.logarithmic else ""
    parts = [f'<g><text class="t" x="{left + 2:.0f}" y="{top + 13:.0f}">{escape(str(panel.chart.title) + log)}</text>']
    parts += legend + _vertical_axis(panel, box, y) + _horizontal_axis(panel, box, x)
    for series in reversed(panel.series):  # the first line lies in front
        parts += _line(series, x, y)
    return [*parts, "</g>"]


def _legend(panel: Panel, left: float, top: float, width: float) -> tuple[list[str], int]:
    """Colour, name and latest value of each line, and how many rows of text that took."""
    parts: list[str] = []
    x, row = left, 0
    for series in panel.series:
        label = panel.legend(series)
        wide = 6.1 * len(label) + 30  # a little more than the text takes in any usual font
        if x > left and x + wide > left + width:
            x, row = left, row + 1
        color, dash = PALETTE[series.line.color % len(PALETTE)], ' class="d"' if series.line.dashed else ""
        y = top + 14 * row
        parts.append(
            f'<path d="M{x:.0f} {y - 4:.0f}h14" stroke="{color}" stroke-width="3"{dash}/>'
            f'<text class="k" x="{x + 18:.0f}" y="{y:.0f}">{escape(label)}</text>'
        )
        x += wide
    return parts, row + 1


def _vertical_axis(panel: Panel, box: Box, y: Scale) -> list[str]:
    marks = log_ticks(*panel.y_range, 4) if panel.logarithmic else ticks(*panel.y_range, 4, panel.chart.unit)
    return [
        f'<path class="g" d="M{box.left:.0f} {y(mark):.1f}h{box.width:.0f}"/>'
        f'<text class="e" x="{box.left - 6:.0f}" y="{y(mark) + 4:.1f}">{escape(tick_label(mark, panel.chart.unit))}</text>'
        for mark in marks
    ]


def _horizontal_axis(panel: Panel, box: Box, x: Scale) -> list[str]:
    timed = panel.chart.x == "time"
    bottom = box.top + box.height
    unit = "seconds" if timed else ""
    marks = [mark for mark in ticks(*panel.x_range, 4, unit) if timed or mark == round(mark)]  # no half steps
    return [
        f'<path stroke="#8c959f" d="M{box.left:.0f} {bottom:.0f}h{box.width:.0f}"/>',
        *(
            f'<text class="m" x="{x(mark):.0f}" y="{bottom + 15:.0f}">{escape(tick_label(mark, unit))}</text>'
            for mark in marks
        ),
    ]


def _line(series: Series, x: Scale, y: Scale) -> list[str]:
    color = PALETTE[series.line.color % len(PALETTE)]
    parts = []
    for piece in series.pieces():
        across = [x(v) for v in series.x[piece]]
        low, high = [y(v) for v in series.low[piece]], [y(v) for v in series.high[piece]]
        if any(abs(a - b) > 1 for a, b in zip(low, high, strict=True)):
            band = [*zip(across, high, strict=True), *zip(reversed(across), reversed(low), strict=True)]
            parts.append(f'<path class="r" fill="{color}" stroke="{color}" d="{_path(band)}Z"/>')
        middle = [(across[n], (low[n] + high[n]) / 2) for n in range(len(across))]
        dash = " d" if series.line.dashed else ""
        parts.append(f'<path class="b{dash}" stroke="{color}" d="{_path(middle)}"/>')
        if series.marked:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{color}"/>' for a, b in middle]
    return parts


def _path(points: list[tuple[float, float]]) -> str:
    """Relative steps in tenths of a pixel, which are short to write; rounding does not add up."""
    (x, y), *rest = [(round(a, 1), round(b, 1)) for a, b in points]
    written = [f"M{x:g} {y:g}"]
    for a, b in rest:
        written.append(f"l{round(a - x, 1):g} {round(b - y, 1):g}")
        x, y = a, b
    return "".join(written)


def _in_words(source: Source, state: RunState, filled: Iterable[Panel]) -> tuple[str, str]:
    header = source.header()
    title = text("picture.title", "Run {name}: {status}", name=header["name"], status=STATUS[state.status])
    charts = (f"{panel.chart.title}: " + ", ".join(panel.legend(s) for s in panel.series) for panel in filled)
    origin = badge(str(header["origin"]))
    return title, ". ".join([*([origin] if origin else []), *charts])
