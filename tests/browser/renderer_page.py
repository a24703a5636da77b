"""A page with the real dashboard bundle and a fake anywidget model; no Jupyter, no network.

The page keeps what the view sent in ``sent`` and what it listens to in ``listeners``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, sync_playwright

from bigmodel_lab import charts, metrics
from bigmodel_lab.widgets._strings import strings

STATIC = Path(__file__).parents[2] / "bigmodel_lab" / "static"
ORIGIN = "http://dashboard.test/"
GPU_KEYS = (
    "gpu_utilization_percent",
    "device_used_bytes",
    "device_total_bytes",
    "power_watts",
    "temperature_celsius",
    "allocated_bytes",
    "reserved_bytes",
)
HOST_KEYS = ("process_resident_bytes", "host_available_bytes", "process_cpu_percent", "host_cpu_percent")
STREAMS = (
    ("step", "step", ("loss", "accuracy", "step_seconds", "samples_per_second")),
    ("epoch", "step", ("validation_loss", "validation_accuracy", "loss", "accuracy")),
    ("gpu", "time", GPU_KEYS),
    ("host", "time", HOST_KEYS),
)
LIVE = {"pause": "live", "resume": "live", "stop": "live"}

STRINGS = strings()

PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="dashboard.css">
<body style="margin:12px"><script type="module">
import widget, { formatValue } from "./dashboard.js";
const listeners = [], sent = [], views = [];
window.bench = { formatValue, listeners, sent, views };
const model = {
  get: (name) => window.bench[name],
  on: (event, handler) => listeners.push([event, handler]),
  off: (event, handler) => {
    const at = listeners.findIndex((one) => one[0] === event && one[1] === handler);
    if (at >= 0) listeners.splice(at, 1);
  },
  send: (content) => sent.push(content),
};
window.bench.fire = (event, ...values) => {
  for (const [name, handler] of [...listeners]) if (name === event) handler(...values);
};
window.bench.receive = (content, data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const padded = new Uint8Array(bytes.length + 3);
  padded.set(bytes, 3);
  window.bench.fire("msg:custom", content, [new DataView(padded.buffer, 3, bytes.length)]);
};
window.bench.open = () => {
  const el = document.createElement("div");
  document.body.append(el);
  views.push(widget.render({ model, el }));
};
window.bench.ready = true;
</script>"""


def spec(**changes: object) -> dict[str, Any]:
    """The spec of a run with GPU, as the kernel sends it; keyword arguments replace parts."""
    known = {key: metrics.describe(key) for _, _, names in STREAMS for key in names}
    return {
        "run_id": "mlp-20261122-1606",
        "title": "simple_cnn on fashion_mnist",
        "origin": "measured",
        "badge": "",
        "streams": [{"name": name, "axis": axis, "keys": list(names)} for name, axis, names in STREAMS],
        "metrics": {
            key: {"label": str(m.label), "unit": m.unit, "meaning": str(m.meaning)} for key, m in known.items()
        },
        "charts": [_chart(key, chart) for key, chart in charts.in_order()],
        "strings": STRINGS,
        "controls": True,
        "total_steps": 1000,
        **changes,
    }


def _chart(key: str, chart: charts.Chart) -> dict[str, Any]:
    return {
        "key": key,
        "title": str(chart.title),
        "unit": chart.unit,
        "x": chart.x,
        "lines": [vars(line) for line in chart.lines],
        "from_zero": chart.from_zero,
        "maximum": chart.maximum,
        "logarithmic": chart.logarithmic,
    }


def state(**changes: object) -> dict[str, Any]:
    """A running state with live controls; keyword arguments replace parts."""
    return {
        "status": "running",
        "step": 0,
        "epoch": 1,
        "epochs": 5,
        "elapsed": 12.5,
        "eta": 75.0,
        "controls": LIVE,
        "t": 0.0,
        **changes,
    }


class Rows:
    """Rows of one stream; a pair of arrays for a key means lowest and highest values."""

    def __init__(self, stream: int, x: Sequence[float] | np.ndarray, values: Mapping[str, Any]) -> None:
        self.stream = stream
        self.x = np.asarray(x, "<f4")
        self.keys = STREAMS[stream][2]
        self.width = 2 if any(isinstance(value, tuple) for value in values.values()) else 1
        self.values = {key: self._pair(values.get(key, np.nan)) for key in self.keys}

    def _pair(self, value: Any) -> tuple[np.ndarray, np.ndarray]:
        low, high = value if isinstance(value, tuple) else (value, value)
        full = np.zeros_like(self.x)
        return full + np.asarray(low, "<f4"), full + np.asarray(high, "<f4")

    def shape(self) -> list[int]:
        """What the JSON part says of this group."""
        return [self.stream, len(self.x), self.width]

    def data(self) -> bytes:
        """What the buffer holds of this group."""
        parts = [self.x]
        for key in self.keys:
            parts += self.values[key][: self.width]
        finite = [high[np.isfinite(high)] for _, high in self.values.values()]
        parts.append(np.asarray([values[-1] if len(values) else np.nan for values in finite], "<f4"))
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


class Bench:
    """Drives the page: opens views, sends messages as a kernel would, reads what came back."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seq = -1
        page.route(f"{ORIGIN}**", _serve)
        page.goto(ORIGIN)
        page.wait_for_function("window.bench?.ready")

    def open(self, **changes: object) -> None:
        """Renders one more view of the model."""
        self.page.evaluate("s => { bench.spec = s; bench.open() }", spec(**changes))

    def send(self, kind: str, *rows: Rows, seq: int | None = None, **more: object) -> None:
        """One data message; seq counts on by itself."""
        self.seq = self.seq + 1 if seq is None else seq
        content = {"type": kind, "seq": self.seq, "groups": [r.shape() for r in rows], "state": state(), **more}
        self.raw(content, b"".join(r.data() for r in rows))

    def raw(self, content: object, data: bytes = b"") -> None:
        """Any message at all."""
        self.page.evaluate("([c, d]) => bench.receive(c, d)", [content, base64.b64encode(data).decode()])
        self.frame()

    def frame(self) -> None:
        """Waits until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type that the views sent."""
        return [m for m in self.page.evaluate("() => bench.sent") if m["type"] == kind]

    def data(self, name: str) -> str:
        """A data-* counter of the first view."""
        return self.page.get_by_test_id("bml-dashboard").first.get_attribute(f"data-{name}") or ""


def _serve(route: Route) -> None:
    name = route.request.url.removeprefix(ORIGIN)
    if name in ("dashboard.js", "dashboard.css"):
        route.fulfill(path=STATIC / name)
    else:
        route.fulfill(body=PAGE, content_type="text/html")


def training(steps: int, *, first: int = 0, seed: int = 0) -> Rows:
    """A stretch of plausible training steps."""
    random = np.random.default_rng(seed)
    x = np.arange(first, first + steps)
    loss = 2.2 * np.exp(-x / 250) + 0.12 + 0.06 * random.standard_normal(steps) * np.exp(-x / 900)
    return Rows(
        0,
        x,
        {
            "loss": np.abs(loss),
            "accuracy": np.clip(1 - 0.85 * np.exp(-x / 220) + 0.02 * random.standard_normal(steps), 0, 1),
            "step_seconds": 0.021 + 0.002 * np.abs(random.standard_normal(steps)),
            "samples_per_second": 64 / (0.021 + 0.002 * np.abs(random.standard_normal(steps))),
        },
    )


def epochs(count: int, steps_each: int) -> Rows:
    """Validation values, once an epoch."""
    x = np.arange(1, count + 1) * steps_each
    return Rows(
        1,
        x,
        {"validation_loss": 2.0 * np.exp(-x / 260) + 0.2, "validation_accuracy": 1 - 0.8 * np.exp(-x / 230)},
    )


def gpu(samples: int) -> Rows:
    """Samples of a card while training."""
    x = np.arange(samples) * 0.5
    wave, gib = np.sin(x * 1.7), 2.0**30
    return Rows(
        2,
        x,
        {
            "gpu_utilization_percent": 91 + 6 * wave,
            "device_used_bytes": 9.1 * gib,
            "device_total_bytes": 16 * gib,
            "power_watts": 63 + 4 * wave,
            "temperature_celsius": 48 + np.minimum(x / 4, 19),
            "allocated_bytes": (4.2 + 1.6 * np.abs(wave)) * gib,
            "reserved_bytes": np.minimum(6.4, 4 + x / 5) * gib,
        },
    )


def host(samples: int) -> Rows:
    """Samples of the machine while training."""
    x = np.arange(samples) * 0.5
    gib = 2.0**30
    return Rows(
        3,
        x,
        {
            "process_resident_bytes": (1.1 + 0.2 * (1 - np.exp(-x / 6))) * gib,
            "host_available_bytes": (10.5 - 0.2 * (1 - np.exp(-x / 6))) * gib,
            "process_cpu_percent": 180 + 12 * np.sin(x),
            "host_cpu_percent": 212 + 18 * np.sin(x * 1.3),
        },
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, one for all tests of this file."""
    if not (STATIC / "dashboard.js").exists():
        pytest.fail("The bundle is missing: run 'npm ci && npm run build' in labextension/.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True)
        yield browser
        browser.close()


@pytest.fixture
def bench(chromium: Browser) -> Iterator[Bench]:
    """A fresh page with the bundle; an uncaught error on it fails the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 1400}, color_scheme="light")
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield Bench(page)
    context.close()
    assert errors == []


@pytest.fixture
def running(bench: Bench) -> Bench:
    """One view that has the first 300 steps, two epochs and 40 samples of GPU and host."""
    bench.open()
    bench.send("keyframe", training(300), epochs(2, 100), gpu(40), host(40), state=state(step=300))
    return bench


def chart(bench: Bench, key: str) -> Locator:
    """The box of a chart."""
    return bench.page.get_by_test_id(f"bml-chart-{key}")


def cell(bench: Bench, metric: str, column: int) -> str:
    """A cell of the table of values: 0 latest, 1 lowest, 2 highest."""
    table = bench.page.get_by_test_id("bml-table")
    if not table.is_visible():
        bench.page.get_by_role("button", name="Table").click()
        bench.frame()
    return table.locator(f"tr[data-metric={metric}]").first.locator("td").nth(column + 1).inner_text()


def settle(bench: Bench) -> int:
    """Waits until nothing has been drawn for a while; returns how many charts were drawn so far."""
    return bench.page.evaluate(
        """async () => {
          const draws = () => Number(document.querySelector(".bml").dataset.draws);
          for (let before = -1; before !== draws(); ) {
            before = draws();
            await new Promise(done => setTimeout(done, 500));
          }
          return draws();
        }"""
    )


def drag(bench: Bench, key: str, start: float, end: float) -> None:
    """Drags over a plot between two shares of its width."""
    box = chart(bench, key).locator(".u-over").bounding_box()
    assert box
    mouse = bench.page.mouse
    mouse.move(box["x"] + start * box["width"], box["y"] + 40)
    mouse.down()
    mouse.move(box["x"] + end * box["width"], box["y"] + 50, steps=4)
    mouse.up()


def ink(figure: Locator, top: float, bottom: float) -> int:
    """Coloured pixels of a chart between two shares of its height."""
    return figure.locator("canvas").evaluate(
        """(c, [top, bottom]) => {
          const { data } = c.getContext("2d").getImageData(0, c.height * top, c.width, c.height * (bottom - top));
          let n = 0;
          for (let i = 0; i < data.length; i += 4) {
            const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
            if (data[i + 3] > 100 && spread > 60) n += 1;
          }
          return n;
        }""",
        [top, bottom],
    )
