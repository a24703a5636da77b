"""One notebook in a browser tab, and the dashboards in it, as a test sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.labserver import Server

# The kernel's indicator says "idle" before a kernel is there at all; these facts do not lie.
_OPEN = """path => {
  const widget = window.jupyterapp?.shell?.currentWidget;
  return !!widget?.context && widget.context.path === path && widget.context.isReady && widget.sessionContext?.isReady;
}"""
_CONNECTED = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected';
}"""
_IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
# A command's promise may never settle, and evaluate() has no time limit: start it and go on.
_COMMAND = """([name, args]) => {
  window.jupyterapp.commands.execute(name, args).catch(error => console.error(name, String(error)));
}"""
# Kernel "idle" is no sign of a finished cell: subshells answer while it runs. Its prompt is.
_PROMPTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === 'code')
  .map(cell => cell.node.querySelector('.jp-InputPrompt')?.textContent.trim() ?? '')"""
_PRINT = """canvases => {
  let ink = 0, print = 0;
  for (const canvas of canvases) {
    if (!canvas.width || !canvas.height) continue;
    const data = new Uint32Array(
      canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    for (let i = 0; i < data.length; i++) {
      if (data[i] === 0) continue;
      ink++;
      print = (Math.imul(print ^ data[i], 16777619) + i) | 0;
    }
  }
  return [ink, print];
}"""


class NotebookPage:
    """A notebook in a tab. Cells are counted among the code cells, from 0."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.name = ""

    def open(self, name: str) -> None:
        """Load a notebook and wait until its kernel takes requests."""
        self.name = name
        self.page.goto(self.server.address(name))
        self.await_connection()
        self.page.wait_for_function(_IDLE)

    def await_connection(self) -> None:
        """Wait until notebook and kernel are there; the kernel may be busy."""
        self.page.wait_for_function(_OPEN, arg=self.name)
        self.page.wait_for_function(_CONNECTED)

    def command(self, name: str, **arguments: Any) -> None:
        """Start a command of the application; does not wait for its end."""
        self.page.evaluate(_COMMAND, [name, arguments])

    def run_all(self) -> None:
        """Run > Run All Cells; returns at once."""
        self.command("notebook:run-all-cells")

    def save(self) -> None:
        """Save the notebook and wait until it is on disk."""
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")

    def prompts(self) -> list[str]:
        """What stands before each code cell: ``"[ ]:"`` not run, ``"[*]:"`` waits or runs, ``"[3]:"`` done."""
        return list(self.page.evaluate(_PROMPTS))

    def busy(self, cell: int) -> bool:
        """The cell is running, or waits for its turn."""
        return "*" in self.prompts()[cell]

    def done(self, cell: int) -> bool:
        """The cell has ended, well or not."""
        return any(mark.isdigit() for mark in self.prompts()[cell])

    def cell(self, number: int) -> Locator:
        """A code cell, with its outputs."""
        return self.page.locator(".jp-CodeCell").nth(number)

    def outputs(self, cell: int) -> Locator:
        """The outputs of a code cell."""
        return self.cell(cell).locator(".jp-OutputArea-output")

    def dashboard(self, cell: int) -> Dashboard:
        """The live dashboard in a cell."""
        return Dashboard(self.cell(cell).get_by_test_id("bml-dashboard"))

    def pictures(self, cell: int) -> Locator:
        """Pictures in the output of a cell: JupyterLab shows SVG in an <img>."""
        return (
            self.outputs(cell)
            .locator("img, svg")
            .and_(self.page.locator("[data-mime-type^='image/'] img, [data-mime-type^='image/'] svg"))
        )

    def complaints(self) -> list[str]:
        """All tracebacks and all that was written to stderr: both render as this type."""
        return self.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until ``condition()``; fails with ``what`` and the state of the page."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {seconds} s: {what}; prompts {self.prompts()}; complaints {self.complaints()}"
                )
            self.page.wait_for_timeout(50)

    def until_all_done(self, seconds: float) -> None:
        """Wait until every cell has ended; a cell that raises leaves the later ones as not run."""
        self.until(lambda: not any("*" in p for p in self.prompts()) and self.done(0), seconds, "all cells ended")


class Dashboard:
    """One live dashboard in the page; its counters are the ``data-`` attributes of its root."""

    def __init__(self, root: Locator) -> None:
        self.root = root

    def counter(self, name: str) -> str:
        """A counter; the empty text before the first drawing and where no dashboard is."""
        # Not get_attribute(), which waits for a dashboard: it may be away for a moment, or for good.
        return str(self.root.evaluate_all("(roots, name) => roots[0]?.dataset[name] ?? ''", name))

    @property
    def step(self) -> int:
        """Step that the page shows; -1 before the first."""
        return int(self.counter("step") or -1)

    @property
    def status(self) -> str:
        """Status that the page shows."""
        return self.counter("status")

    def print(self) -> tuple[int, int]:
        """Painted pixels of all canvases, and a number that changes with any of them."""
        ink, checksum = self.root.locator("canvas").evaluate_all(_PRINT)
        return ink, checksum

    def press(self, name: str) -> None:
        """Click ``"pause"``, ``"resume"`` or ``"stop"``."""
        self.root.get_by_test_id(f"bml-{name}").click()

    def expect_step_beyond(self, step: int, seconds: float) -> None:
        """Wait until the page shows a later step."""
        self.until(lambda: self.step > step, seconds, f"a step after {step}")

    def expect_status(self, status: str, seconds: float = 20) -> None:
        """Wait until the page shows a status."""
        expect(self.root).to_have_attribute("data-status", status, timeout=seconds * 1000)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until ``condition()``; fails with ``what`` and the counters."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                counters = {name: self.counter(name) for name in ("step", "status", "seq", "msgs", "draws", "controls")}
                outputs = self.root.page.locator(".jp-OutputArea-output").all_inner_texts()
                raise AssertionError(f"not within {seconds} s: {what}; counters {counters}; outputs {outputs}")
            self.root.page.wait_for_timeout(50)


def watch_until_moving(notebook: NotebookPage, cell: int) -> Dashboard:
    """The dashboard of a busy cell, after its first steps were drawn."""
    dashboard = notebook.dashboard(cell)
    notebook.until(lambda: dashboard.root.is_visible() or notebook.complaints() != [], 60, "the dashboard is there")
    assert notebook.complaints() == []
    dashboard.expect_step_beyond(20, 60)
    dashboard.until(lambda: dashboard.print()[0] > 500, 20, "something is drawn")
    return dashboard
