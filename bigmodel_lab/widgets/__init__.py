"""Shows runs in notebooks and terminals: the only place that knows anywidget, IPython and matplotlib."""

from __future__ import annotations

from bigmodel_lab.widgets._allocator_map import draw_allocator_map
from bigmodel_lab.widgets._bundle import bundle_missing
from bigmodel_lab.widgets._estimate_view import EstimateView, estimate_html, estimate_map, estimate_timeline
from bigmodel_lab.widgets._frontends import FrontEnd, cell_number, detect
from bigmodel_lab.widgets._memory_picture import MemoryPicture
from bigmodel_lab.widgets._memory_timeline import draw_timeline
from bigmodel_lab.widgets._plot import plot
from bigmodel_lab.widgets._progress import ProgressLine
from bigmodel_lab.widgets._svg import picture
from bigmodel_lab.widgets._waiting import WaitingLine
from bigmodel_lab.widgets.display import RunDisplay


def probe_widget(timeout_s: float = 2.0) -> bool:
    """Whether a widget shown in the running cell is heard before the cell ends.

    Args:
        timeout_s: How long to wait for its message.
    """
    # anywidget costs half a second to import, and only this and the live widget need it.
    from bigmodel_lab.widgets import _probe

    return _probe.probe_widget(timeout_s)


__all__ = [
    "EstimateView",
    "FrontEnd",
    "MemoryPicture",
    "ProgressLine",
    "RunDisplay",
    "WaitingLine",
    "bundle_missing",
    "cell_number",
    "detect",
    "draw_allocator_map",
    "draw_timeline",
    "estimate_html",
    "estimate_map",
    "estimate_timeline",
    "picture",
    "plot",
    "probe_widget",
]
