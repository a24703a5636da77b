"""Figures of matplotlib that belong to nobody but the caller, on white or on dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.i18n import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK = {
    "figure.facecolor": "#0d1117",
    "axes.facecolor": "#0d1117",
    "text.color": "#e6edf3",
    "axes.labelcolor": "#e6edf3",
    "axes.titlecolor": "#e6edf3",
    "axes.edgecolor": "#8b949e",
    "xtick.color": "#c9d1d9",
    "ytick.color": "#c9d1d9",
    "grid.color": "#8b949e",
}
LINES = ("#1f6feb", "#d1570a", "#1a7f37", "#8250df", "#bf3989", "#6e7781", "#9a6700", "#0b7285", "#c92a2a", "#5c940d")
"""Colours of ten lines, by index; each has a contrast of at least 3:1 on white, and reads on dark."""


def new_figure(inches: tuple[float, float]) -> Figure:
    """An empty figure. pyplot does not know it, so it need not be closed; in a cell it shows itself.

    Args:
        inches: Width and height.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class RunFigure(Figure):
        """A figure that shows itself in a notebook without pyplot."""

        def _repr_png_(self) -> bytes:
            out = BytesIO()
            self.savefig(out, format="png", dpi=110)
            return out.getvalue()

    figure = RunFigure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def colours(*, dark: bool) -> Iterator[None]:
    """What is made inside has light letters on dark, or matplotlib's own colours; its settings return afterwards.

    Args:
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib import rc_context

    chosen: Any = _DARK if dark else {}  # matplotlib's own type lists every setting by name
    with rc_context(chosen):
        yield


def need_matplotlib() -> None:
    """Matplotlib is there.

    Raises:
        MissingPackageError: It is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingPackageError("matplotlib", text("plot.purpose", "plot a run"), "train")


def plain(axes: Axes, title: str) -> None:
    """A chart with a title, thin lines behind, and nothing that tells nothing."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(visible=True, alpha=0.3)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def short(name: str, letters: int) -> str:
    """A name cut to so many letters, the last of them … where something was cut.

    >>> short("transformer", 6), short("mlp", 6)
    ('trans…', 'mlp')
    """
    return name if len(name) <= letters else name[: letters - 1] + "…"
