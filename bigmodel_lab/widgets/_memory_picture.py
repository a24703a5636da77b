"""A picture of memory: SVG that a page shows with hover and without JavaScript, and the same as a table of text."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bigmodel_lab._table import Table
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.categories import SHADES, SHOWN, known, theme_css
from bigmodel_lab.widgets._spec import badge

WIDTH = 960
"""Width of a picture in pixels; a narrower page shrinks it."""
_FONT = "var(--jp-ui-font-family,system-ui),-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
# Letters have the colour of the page, so they can be read on every page, also on one that declares no theme.
_STYLE = (
    ".bml-mem text{font:11px " + _FONT + ";fill:currentColor;stroke:none}"
    ".bml-mem .t{font-size:14px;font-weight:600}.bml-mem .q{opacity:.72}.bml-mem .e{text-anchor:end}"
    ".bml-mem .m{text-anchor:middle}.bml-mem .b{font-weight:600}"
    ".bml-mem .g{stroke:currentColor;stroke-opacity:.16}.bml-mem .l{stroke:currentColor;fill:none}"
    ".bml-mem .w{fill:var(--warn);stroke:var(--warn)}.bml-mem text.w{stroke:none}"
    ".bml-mem .h{fill:currentColor;fill-opacity:0}.bml-mem .h:hover{fill-opacity:.14}"
    ".bml-mem .f{fill:currentColor;fill-opacity:.07}.bml-mem .o{fill:none;stroke:currentColor;stroke-opacity:.55}"
    ".bml-mem .z:hover{stroke:currentColor;stroke-width:1.6}"
    + "".join(f".bml-mem .k{nth}{{fill:var(--k{nth})}}" for nth in range(len(SHOWN)))
)
_OWN_GROUND = "svg.bml-mem{color:var(--ink);background:var(--ground)}"
_LETTER_WIDTH = 6.2  # a little more than a letter of 11 px takes in any usual font


@dataclass(frozen=True, repr=False)
class MemoryPicture:
    """A picture that shows itself in a notebook, light or dark, as SVG, or as a table of text."""

    title: str
    """What it shows."""
    description: str
    """The same in a sentence or two, for those who cannot see it."""
    label: str
    """``"simulated"``, or where it was recorded."""
    height: int
    """In pixels; the width is 960."""
    body: str
    """What is drawn, as elements of SVG."""
    table: Table
    """The numbers."""

    def html(self) -> str:
        """SVG for a page: colours and letters follow the theme of the page."""
        return f'<div style="max-width:{WIDTH}px">{self._document(_STYLE + theme_css(".bml-mem", page=True))}</div>'

    def svg(self) -> str:
        """A document of its own, on a ground of its own, light or dark as the system is."""
        return self._document(_STYLE + theme_css(".bml-mem", page=False) + _OWN_GROUND)

    def save(self, path: str | Path) -> Path:
        """Write the picture into a file that every browser opens.

        Args:
            path: Ends in ``.svg`` or ``.html``.

        Raises:
            ConfigError: It ends in something else.
        """
        file = Path(path)
        if file.suffix not in {".svg", ".html"}:
            message = "{path} must end in .svg or .html. A browser prints either to PDF or PNG."
            raise ConfigError(text("error.picture_suffix", message, path=str(path)))
        page = f'<!doctype html><meta charset="utf-8"><title>{escape(self.title)}</title>{self.svg()}'
        file.write_text(self.svg() if file.suffix == ".svg" else page, "utf-8")
        return file

    def __repr__(self) -> str:
        return "\n".join([f"{self.title} [{self.label}]", self.table.text()])

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        del include, exclude  # the front end takes what it can show
        return {"text/html": self.html(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def _document(self, style: str) -> str:
        named = escape(f"{self.title} ({self.label})")
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="bml-mem" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" style="max-width:100%;height:auto" role="img" aria-label="{named}">'
            f"<title>{named}</title><desc>{escape(self.description)}</desc><style>{style}</style>"
            f"{''.join(_head(self.title, self.label))}{self.body}</svg>"
        )


def origin_label(recorded_on: str | None) -> str:
    """The label of a picture.

    Args:
        recorded_on: Name of the card; empty where it is not known, None when the numbers are simulated.

    >>> origin_label(None), origin_label("Tesla T4"), origin_label("")
    ('simulated', 'recorded on Tesla T4', 'recorded')
    """
    if recorded_on is None:
        return badge("simulated")
    return text("memory.recorded_on", "recorded on {card}", card=recorded_on) if recorded_on else badge("recorded")


def fill(category: str) -> str:
    """Attributes that colour an element by its category; the second one counts where a page drops styles.

    >>> fill("parameter")
    'class="k0" fill="#1a4288"'
    """
    name = known(category)
    return f'class="k{SHOWN.index(name)}" fill="{SHADES[name].light}"'


def letters(x: float, y: float, words: str, kind: str = "") -> str:
    """A line of text; ``kind`` are classes: e right, m middle, q quiet, b bold, w warning."""
    chosen = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{chosen}>{escape(words)}</text>'


def wide(words: str) -> float:
    """Pixels that a line of text takes at most in any usual font."""
    return _LETTER_WIDTH * len(words)


def legend(entries: Iterable[tuple[str, str, str]], top: float) -> tuple[str, float]:
    """Swatches with their names, in rows, and the height that they take.

    Args:
        entries: Attributes of the swatch, empty for a line; what stands beside it; what hovering says.
        top: Where the first row begins.
    """
    parts: list[str] = []
    x, y = 8.0, top + 10
    for swatch, words, meaning in entries:
        needed = wide(words) + 34
        if x > 8 and x + needed > WIDTH:
            x, y = 8.0, y + 18
        square = f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="11" height="11" rx="2" {swatch}/>'
        line = f'<path class="l" stroke-width="1.6" d="M{x:.1f} {y - 4:.1f}h12"/>'
        drawn = square if swatch else line
        parts.append(f"<g><title>{escape(meaning or words)}</title>{drawn}{letters(x + 16, y, words)}</g>")
        x += needed
    return "".join(parts), y - top + 8 if parts else 0.0


def _head(title: str, label: str) -> list[str]:
    across = 1.15 * wide(label) + 20  # bold
    left = WIDTH - across - 2
    pill = f'<rect x="{left:.1f}" y="5" width="{across:.1f}" height="20" rx="10" class="l" stroke-opacity=".6"/>'
    return [letters(8, 20, title, "t"), pill, letters(left + across / 2, 19, label, "m b")]
