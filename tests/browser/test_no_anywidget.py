"""A JupyterLab whose server has no anywidget: pictures in place of the widget, and why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.labserver import Server, jupyter
from tests.browser.page import NotebookPage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab that does not serve anywidget's front end: the kernel's environment has it, the server's not."""
    with jupyter(tmp_path_factory.mktemp("bare"), disabled=["anywidget"]) as server:
        yield server


def test_pictures_take_the_place_of_the_widget(tab: Page, server: Server):
    """While the cell is busy its picture changes, a line says why, and Interrupt ends the cell with the last one."""
    notebook = NotebookPage(tab, server)
    cells = ["import bigmodel_lab as lab", 'run = lab.fit("simple_cnn", epochs=2000)', "print(run.status.value)"]
    notebook.open(server.write("pictures.ipynb", cells))
    notebook.run_all()

    picture = notebook.pictures(1)
    expect(picture).to_have_count(1)
    seen = {picture.get_attribute("src")}
    for _ in range(2):
        expect(picture).not_to_have_attribute("src", str(picture.get_attribute("src")))
        seen.add(picture.get_attribute("src"))
        assert notebook.busy(1)
    assert len(seen) == 3
    assert "does not answer" in reason_shown(notebook)
    expect(notebook.dashboard(1).root).to_have_count(0)

    notebook.command("notebook:interrupt-kernel")  # nothing was heard: one press stops
    notebook.until_all_done(30)
    expect(notebook.outputs(2)).to_have_text("stopped")
    expect(picture).to_have_count(1)
    assert notebook.complaints() == []


def reason_shown(notebook: NotebookPage) -> str:
    """All words in the output of the training cell, those inside the picture included."""
    words = notebook.outputs(1).all_inner_texts()
    sources = [notebook.pictures(1).nth(i).get_attribute("src") or "" for i in range(notebook.pictures(1).count())]
    return " ".join(words) + notebook.page.evaluate("parts => parts.map(decodeURIComponent).join(' ')", sources)
