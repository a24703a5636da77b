"""What the browser draws, as data: charts of the family, and one for every number of the person's own.

How own numbers are grouped into charts (``train/f1``, ``val_f1``, ``kl_loss``):

* the part of the data (``train``, ``val``, ``test`` … before ``/`` or ``_``) does not count, so
  ``train/f1`` and ``val_f1`` share the chart "f1" and can be compared;
* only the last part of a path counts, so ``generator/loss`` and ``discriminator/loss`` share a chart;
* everything that ends in ``loss`` shares one chart, as losses are read against each other;
* at most six lines share a chart, one for each colour of the palette.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from bigmodel_lab import metrics
from bigmodel_lab.charts import Chart, Line, in_order
from bigmodel_lab.i18n import Text
from bigmodel_lab.runlog.base import Source, StreamHeader
from bigmodel_lab.widgets._strings import BADGE, strings

COLORS = 6
"""Colours in the palette of every renderer."""

_PART_OF_DATA = re.compile(r"^(?:train|training|val|valid|validation|test|eval)[/_]")


@dataclass(frozen=True)
class NamedChart:
    """A chart of this run with its key."""

    key: str
    """Name in the family, or ``"own:<quantity>"``."""
    chart: Chart
    """What to draw."""


def charts_of(source: Source) -> tuple[NamedChart, ...]:
    """The charts of this run: those with a recorded metric, or one whose absence has a reason."""
    streams = source.streams()
    present = {key for stream in streams for key in stream.keys} | set(source.unknown())
    shown = [NamedChart(name, _only(chart, present)) for name, chart in in_order()]
    return (*(named for named in shown if named.chart.lines), *_own_charts(streams))


def build_spec(source: Source, streams: Sequence[StreamHeader], *, controls: bool) -> dict[str, Any]:
    """The widget's ``spec``.

    Args:
        source: The run.
        streams: Its streams in the order of their indices in the messages.
        controls: A person can pause and stop the run.
    """
    header = source.header()
    charts = charts_of(source)
    keys = dict.fromkeys(line.metric for named in charts for line in named.chart.lines)
    return {
        "run_id": str(header["run_id"]),
        "title": str(header["name"]),
        "origin": str(header["origin"]),
        "badge": badge(str(header["origin"])),
        "streams": [{"name": s.name, "axis": s.axis, "keys": list(s.keys)} for s in streams],
        "metrics": {key: _metric(key) for key in keys},
        "charts": [_chart(named) for named in charts],
        "strings": strings(),
        "controls": controls,
        "total_steps": header.get("total_steps"),
    }


def badge(origin: str) -> str:
    """Label of numbers that were not measured here and now; empty for measured ones.

    >>> badge("simulated"), badge("measured")
    ('simulated', '')
    """
    return str(BADGE.get(origin, ""))


def quantity(key: str) -> str:
    """What an own number measures, without the part of the data and the path before it.

    >>> quantity("val/f1"), quantity("train_f1"), quantity("generator/loss"), quantity("kl_loss")
    ('f1', 'f1', 'loss', 'loss')
    """
    name = _PART_OF_DATA.sub("", key.rsplit("/", 1)[-1]) or key
    return "loss" if name == "loss" or name.endswith("_loss") else name


def _only(chart: Chart, present: set[str]) -> Chart:
    lines = tuple(line for line in chart.lines if line.metric in present)
    return Chart(**{**vars(chart), "lines": lines})


def _own_charts(streams: Iterable[StreamHeader]) -> list[NamedChart]:
    known = {metric.key for metric in metrics.known()}
    groups: dict[tuple[str, str], list[str]] = {}
    for stream in streams:
        for key in stream.keys:
            members = groups.setdefault((stream.axis, quantity(key)), []) if key not in known else None
            if members is not None and key not in members:
                members.append(key)
    return [named for (axis, name), keys in groups.items() for named in _own_chart(axis, name, keys)]


def _own_chart(axis: str, name: str, keys: list[str]) -> Iterable[NamedChart]:
    title = Text("chart.own_losses.title", "Losses of your own") if name == "loss" else Text(f"chart.own.{name}", name)
    for part, start in zip(count(1), range(0, len(keys), COLORS), strict=False):
        lines = tuple(Line(key, color, points=True) for color, key in enumerate(keys[start : start + COLORS]))
        chart = Chart(
            title=title,
            unit="",
            x="time" if axis == "time" else "step",
            lines=lines,
            order=1000,
            logarithmic=name == "loss",
        )
        yield NamedChart(f"own:{name}" if part == 1 else f"own:{name}:{part}", chart)


def _metric(key: str) -> dict[str, str]:
    metric = metrics.describe(key)
    return {"label": str(metric.label), "unit": metric.unit, "meaning": str(metric.meaning)}


def _chart(named: NamedChart) -> dict[str, Any]:
    chart = named.chart
    return {
        "key": named.key,
        "title": str(chart.title),
        "unit": chart.unit,
        "x": chart.x,
        "lines": [dict(vars(line)) for line in chart.lines],
        "from_zero": chart.from_zero,
        "maximum": chart.maximum,
        "logarithmic": chart.logarithmic,
    }
