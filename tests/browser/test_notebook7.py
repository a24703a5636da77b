"""Notebook 7: the live part of the dashboard, as in JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.labserver import Server, jupyter
from tests.browser.page import NotebookPage, watch_until_moving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Notebook 7 for the whole module."""
    with jupyter(tmp_path_factory.mktemp("notebook"), "notebook") as server:
        yield server


def test_dashboard_is_live_while_the_cell_is_busy(tab: Page, server: Server):
    """The charts move, Pause and Resume reach the busy cell, and Stop lets Run All go on."""
    cells = ["import bigmodel_lab as lab", 'run = lab.fit("simple_cnn", epochs=2000)', "print(run.status.value)"]
    notebook = NotebookPage(tab, server)
    notebook.open(server.write("live.ipynb", cells))
    notebook.run_all()

    dashboard = watch_until_moving(notebook, 1)
    first = dashboard.print()
    dashboard.expect_step_beyond(dashboard.step + 5, 20)
    # Charts are redrawn a few times a second, not at every step.
    dashboard.until(lambda: dashboard.print() != first, 10, "another drawing")
    dashboard.press("pause")
    dashboard.expect_status("paused")
    assert notebook.busy(1)
    step = dashboard.step
    dashboard.press("resume")
    dashboard.expect_step_beyond(step, 20)
    dashboard.press("stop")
    notebook.until_all_done(30)

    expect(notebook.outputs(2)).to_have_text("stopped")
    expect(notebook.pictures(1)).to_have_count(1)
    assert notebook.complaints() == []
