"""A picture beside the heat map that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bigmodel_lab.i18n import text
from bigmodel_lab.training.heat_map import Heat
from bigmodel_lab.units import format_value
from bigmodel_lab.widgets._figure import colours, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES = (8.4, 3.6)


def heat_figure(heat: Heat, *, dark: bool = False) -> Figure:
    """The picture, what matters in it, and both over each other.

    Args:
        heat: Picture and heat map.
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    most = float(np.abs(heat.values).max()) or 1.0
    grey = heat.picture if heat.picture.ndim == 2 else heat.picture.mean(axis=2)
    scale: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": most}
    if heat.method == "occlusion":  # what speaks for the class is red, what speaks against it blue
        scale = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    with colours(dark=dark):
        figure = new_figure(_INCHES)
        title = text("heat.title", "{name} ({share})", name=heat.name, share=format_value(heat.probability, "fraction"))
        figure.suptitle(title, fontsize=11)
        picture, values, both = (figure.add_subplot(1, 3, place) for place in (1, 2, 3))
        picture.imshow(heat.picture, cmap="gray", vmin=0, vmax=1)
        drawn = values.imshow(heat.values, **scale)
        both.imshow(grey, cmap="gray", vmin=0, vmax=1)
        both.imshow(heat.values, alpha=0.6, **scale)
        names = (text("heat.picture", "picture"), heat.method, text("heat.both", "over each other"))
        for axes, name in zip((picture, values, both), names, strict=True):
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()
        figure.colorbar(drawn, ax=values, shrink=0.8).ax.tick_params(labelsize=7)
    return figure
