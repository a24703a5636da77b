"""JupyterLab: what a run leaves in its cell, and how it comes back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Page, expect

from tests.browser.labserver import REPOSITORY, Server, jupyter
from tests.browser.page import Dashboard, NotebookPage, watch_until_moving

pytestmark = pytest.mark.browser

IMPORT = "import bigmodel_lab as lab"
LONG_FIT = 'run = lab.fit("simple_cnn", epochs=2000)'  # no machine finishes it before the test stops it
BRIEF_FIT = 'run = lab.fit("mlp", epochs=30)'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab for the whole module."""
    with jupyter(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def notebook(tab: Page, server: Server) -> NotebookPage:
    """A tab for one notebook of this server."""
    return NotebookPage(tab, server)


def test_interrupt_pauses_and_a_second_one_stops(notebook: NotebookPage, server: Server):
    """The browser was heard, so a way to resume exists: Interrupt pauses, and once more ends the cell cleanly."""
    notebook.open(server.write("interrupt.ipynb", [IMPORT, LONG_FIT, "print('went on')"]))
    notebook.run_all()
    dashboard = watch_until_moving(notebook, 1)

    notebook.command("notebook:interrupt-kernel")
    dashboard.expect_status("paused")
    assert notebook.busy(1)
    notebook.command("notebook:interrupt-kernel")

    notebook.until_all_done(30)
    expect(notebook.outputs(2)).to_have_text("went on")
    assert notebook.complaints() == []


def test_after_the_end_a_picture_takes_the_place_of_the_dashboard(notebook: NotebookPage, server: Server):
    """An ended run leaves a picture in its cell and no widget."""
    notebook.open(server.write("picture.ipynb", [IMPORT, BRIEF_FIT]))
    notebook.run_all()
    notebook.until_all_done(90)

    expect(notebook.pictures(1)).to_have_count(1)
    expect(notebook.dashboard(1).root).to_have_count(0)
    assert notebook.pictures(1).evaluate("image => image.getBoundingClientRect().height") > 100
    assert notebook.complaints() == []


def test_run_in_a_cell_brings_the_dashboard_back(notebook: NotebookPage, server: Server):
    """Naming an ended run shows the live dashboard with all of its charts."""
    notebook.open(server.write("again.ipynb", [IMPORT, BRIEF_FIT, "run"]))
    notebook.run_all()
    notebook.until_all_done(90)

    dashboard = notebook.dashboard(2)
    dashboard.expect_status("finished")
    dashboard.until(lambda: dashboard.print()[0] > 500, 20, "the charts are drawn")
    expect(dashboard.root.get_by_test_id("bml-chart-loss").locator("canvas")).to_be_visible()
    expect(dashboard.root.get_by_test_id("bml-stop")).to_be_hidden()


def test_a_stopped_run_resumes_in_the_next_cell(notebook: NotebookPage, server: Server):
    """`run.resume()` shows the dashboard again and goes on from the step at which Stop ended it."""
    resume = "stopped_at = int(run.series('step_seconds').step[-1])\nrun.resume()"
    first = "print(int(run.series('step_seconds').step[-1]) > stopped_at)"
    notebook.open(server.write("resume.ipynb", [IMPORT, LONG_FIT, resume, first]))
    notebook.run_all()
    watch_until_moving(notebook, 1).press("stop")
    notebook.until(lambda: notebook.done(1), 20, "the first cell ended")

    second = watch_until_moving(notebook, 2)
    second.press("stop")
    notebook.until_all_done(30)

    expect(notebook.outputs(3)).to_have_text("True")
    assert notebook.complaints() == []


def test_the_saved_notebook_holds_the_picture(notebook: NotebookPage, server: Server):
    """GitHub and nbviewer show a saved run: its output is SVG and no widget."""
    notebook.open(server.write("saved.ipynb", [IMPORT, BRIEF_FIT]))
    notebook.run_all()
    notebook.until_all_done(90)
    notebook.save()

    saved = json.loads((server.root / "saved.ipynb").read_text("utf-8"))
    bundles = [output["data"] for output in saved["cells"][1]["outputs"] if "data" in output]
    assert [set(bundle) & {"image/svg+xml", "application/vnd.jupyter.widget-view+json"} for bundle in bundles] == [
        {"image/svg+xml"}
    ]
    assert "".join(bundles[0]["image/svg+xml"]).lstrip().startswith("<svg")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshot(notebook: NotebookPage, server: Server, tmp_path: Path, theme: str):
    """A picture of the live dashboard; with BIGMODEL_LAB_SCREENSHOTS=1 it becomes the one of the README."""
    wanted = bool(os.environ.get("BIGMODEL_LAB_SCREENSHOTS"))
    folder = REPOSITORY / "docs" if wanted else tmp_path
    notebook.page.set_viewport_size({"width": 1400, "height": 1500})  # the dashboard as a whole
    notebook.open(server.write(f"{theme}.ipynb", [IMPORT, 'run = lab.fit("simple_cnn", epochs=80)']))
    if theme == "dark":
        notebook.command("apputils:change-theme", theme="JupyterLab Dark")
        notebook.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    notebook.run_all()
    dashboard = watch_until_moving(notebook, 1)
    began = time.monotonic()
    dashboard.until(lambda: time.monotonic() - began > (25 if wanted else 1), 60, "enough to look at")

    path = folder / ("dashboard.png" if theme == "light" else "dashboard-dark.png")
    picture = notebook.page.screenshot(path=path, clip=with_margin(dashboard), animations="disabled")
    dashboard.press("stop")
    notebook.until_all_done(30)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def with_margin(dashboard: Dashboard, margin: int = 4) -> FloatRect:
    """Where the dashboard lies in the window, with room around it."""
    dashboard.root.scroll_into_view_if_needed()
    box = dashboard.root.bounding_box()
    assert box is not None
    return {
        "x": box["x"] - margin,
        "y": box["y"] - margin,
        "width": box["width"] + 2 * margin,
        "height": box["height"] + 2 * margin,
    }
