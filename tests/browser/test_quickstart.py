"""JupyterLab runs the quickstart: the dashboard moves while its cell is busy, and the buttons reach it there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.labserver import REPOSITORY, jupyter
from tests.browser.page import Dashboard, NotebookPage, watch_until_moving

pytestmark = [pytest.mark.browser, pytest.mark.alone]  # Pause has one second

QUICKSTART = REPOSITORY / "notebooks" / "01_quickstart.ipynb"


@pytest.fixture
def notebook(tab: Page, tmp_path: Path) -> Iterator[NotebookPage]:
    """The quickstart in a tab of a JupyterLab of its own."""
    with jupyter(tmp_path / "lab") as server:
        shutil.copy(QUICKSTART, server.root)
        notebook = NotebookPage(tab, server)
        notebook.open(QUICKSTART.name)
        yield notebook


def test_quickstart_run_all(notebook: NotebookPage):
    """Run All on the quickstart: the charts move while the cell is busy, Pause, Resume and Stop work, the rest runs."""
    notebook.run_all()
    fit = 1
    dashboard = watch_until_moving(notebook, fit)

    charts_move_while_the_cell_is_busy(notebook, dashboard, fit)
    pause_stops_the_steps(notebook, dashboard, fit)
    resume_goes_on(notebook, dashboard, fit)
    dashboard.press("stop")
    notebook.until(lambda: notebook.done(fit), 20, "Stop ended the cell")
    notebook.until_all_done(120)

    assert notebook.complaints() == []
    assert all(notebook.done(cell) for cell in range(len(notebook.prompts())))


def charts_move_while_the_cell_is_busy(notebook: NotebookPage, dashboard: Dashboard, cell: int) -> None:
    """While the cell is busy the steps go on, and the drawings change with them, again and again."""
    for _ in range(3):
        step, drawn = dashboard.step, dashboard.print()
        dashboard.expect_step_beyond(step + 5, 20)
        # Charts are redrawn a few times a second, not at every step.
        dashboard.until(lambda drawn=drawn: dashboard.print() != drawn, 10, "another drawing")
        assert notebook.busy(cell)


def pause_stops_the_steps(notebook: NotebookPage, dashboard: Dashboard, cell: int) -> None:
    """One second after the click the step stands still, while the cell blocks."""
    dashboard.press("pause")
    notebook.page.wait_for_timeout(1000)
    step = dashboard.step
    assert dashboard.status == "paused"
    notebook.page.wait_for_timeout(1500)
    assert dashboard.step == step
    assert notebook.busy(cell)


def resume_goes_on(notebook: NotebookPage, dashboard: Dashboard, cell: int) -> None:
    """After Resume the steps count on from where they were."""
    step = dashboard.step
    dashboard.press("resume")
    dashboard.expect_status("running")
    dashboard.expect_step_beyond(step, 20)
    assert notebook.busy(cell)
