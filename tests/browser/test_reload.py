"""Loading the page again in mid-run: the chart comes back, at the latest when the cell ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from bigmodel_lab.runlog import send_command
from tests.browser.labserver import Server, jupyter
from tests.browser.page import NotebookPage, watch_until_moving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab for the whole module."""
    with jupyter(tmp_path_factory.mktemp("reload")) as server:
        yield server


def test_reload_in_mid_run(tab: Page, server: Server):
    """After a reload the saved notebook shows the run again, with what it recorded meanwhile."""
    notebook = NotebookPage(tab, server)
    cells = ["import bigmodel_lab as lab", 'run = lab.fit("simple_cnn", epochs=2000)']
    notebook.open(server.write("reload.ipynb", cells))
    notebook.run_all()
    seen = watch_until_moving(notebook, 1).step
    notebook.save()

    tab.reload()
    notebook.await_connection()
    tab.wait_for_timeout(5000)  # training goes on while nobody watches
    (run_file,) = server.runs.glob("*.bmlrun")
    send_command(run_file, "stop")

    dashboard = notebook.dashboard(1)
    expect(dashboard.root).to_be_visible()
    dashboard.expect_status("stopped", 60)
    dashboard.until(lambda: dashboard.print()[0] > 500, 20, "the charts are drawn")
    assert dashboard.step > seen


def test_reload_of_a_run_in_the_background(tab: Page, server: Server):
    """With the cell returned the dashboard is live again at once, and its buttons work."""
    notebook = NotebookPage(tab, server)
    cells = ["import bigmodel_lab as lab", 'run = lab.fit("simple_cnn", epochs=2000, background=True)']
    notebook.open(server.write("background.ipynb", cells))
    notebook.run_all()
    seen = watch_until_moving(notebook, 1).step
    notebook.save()

    tab.reload()
    notebook.await_connection()
    dashboard = watch_until_moving(notebook, 1)
    dashboard.expect_step_beyond(seen, 20)
    dashboard.press("stop")

    dashboard.expect_status("stopped")
