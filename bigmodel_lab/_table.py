"""One table for every place: aligned text in a terminal, HTML for light and dark pages in a notebook."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from unicodedata import east_asian_width

_LINE = "border-bottom:1px solid rgba(128,128,128,.45)"  # grey half through: seen on white and on black
_CELL = "padding:2px 10px;color:inherit;background:none"


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of cells below their heads; shows itself.

    >>> print(Table(("class", "support"), (("cat", "12"), ("kingfisher", "7")), right={1}).text())
    class       support
    cat              12
    kingfisher        7
    """

    heads: tuple[str, ...]
    """What each column holds."""
    rows: tuple[tuple[str, ...], ...]
    """Cells as a person reads them, one a head."""
    right: Collection[int] = ()
    """Columns that stand to the right, e.g. of numbers, from 0."""
    title: str = ""
    """What the table shows; empty where that is said elsewhere."""
    bars: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Colour of a bar before a cell, by its row and column from 0; one that is seen on white and on black."""

    def text(self) -> str:
        """The table with its columns below each other, one row a line."""
        lines = [self.heads, *self.rows]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        drawn = ["  ".join(map(self._padded, range(len(widths)), line, widths)).rstrip() for line in lines]
        return "\n".join([*([self.title] if self.title else []), *drawn])

    def html(self) -> str:
        """The table as HTML in the colours of its page, light or dark, but for :attr:`bars`."""
        caption = f'<caption style="text-align:left;color:inherit">{escape(self.title)}</caption>' if self.title else ""
        heads = "".join(self._cell("th", nth, head) for nth, head in enumerate(self.heads))
        rows = (
            "".join(self._cell("td", nth, cell, self.bars.get((line, nth))) for nth, cell in enumerate(row))
            for line, row in enumerate(self.rows)
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        style = "border-collapse:collapse;margin:.5em 0"
        return f'<table style="{style}">{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()

    def _padded(self, column: int, cell: str, width: int) -> str:
        blanks = " " * (width - _width(cell))
        return blanks + cell if column in self.right else cell + blanks

    def _cell(self, tag: str, column: int, cell: str, colour: str | None = None) -> str:
        side = "right" if column in self.right else "left"
        bar = "" if colour is None else f";border-left:4px solid {colour}"
        return f'<{tag} style="{_CELL};text-align:{side};{_LINE}{bar}">{escape(cell)}</{tag}>'


def _width(cell: str) -> int:
    """Columns of a terminal that a text takes: letters of East Asia take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in cell)
