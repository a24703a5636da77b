"""An estimate in JupyterLab: pictures with hover in the colours of the page, and a slider that estimates again."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Page, expect

from bigmodel_lab.memory.categories import SHADES
from tests.browser.labserver import REPOSITORY, Server, jupyter
from tests.browser.page import NotebookPage

pytestmark = pytest.mark.browser

CELL = """
from bigmodel_lab.widgets._estimate_view import EstimateView
from tests.memory.estimates import FakeEstimate
from tests.memory.traces import training_trace

def again(micro_batch_size, precision, checkpointing):
    trace = training_trace(batch=micro_batch_size)
    return FakeEstimate(trace, micro_batch_size=micro_batch_size, precision=precision)

EstimateView(FakeEstimate(), again, cards=["T4"])
"""
_TITLES = "svgs => svgs.map(svg => svg.querySelectorAll('g > title, rect > title').length)"
_FILL = "node => getComputedStyle(node).fill"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab for the whole module; its kernels find the stand-ins of the tests."""
    with jupyter(tmp_path_factory.mktemp("estimate"), environment={"PYTHONPATH": str(REPOSITORY)}) as server:
        yield server


@pytest.fixture
def notebook(tab: Page, server: Server) -> NotebookPage:
    """A notebook whose only cell has shown an estimate."""
    notebook = NotebookPage(tab, server)
    notebook.open(server.write("estimate.ipynb", [CELL]))
    notebook.run_all()
    notebook.until_all_done(90)
    expect(tab.locator("svg.bml-mem")).to_have_count(2)
    return notebook


def rgb(colour: str) -> str:
    """A colour as a browser tells it."""
    return "rgb({}, {}, {})".format(*(int(colour[n : n + 2], 16) for n in (1, 3, 5)))


def test_pictures_hover_and_follow_the_theme(notebook: NotebookPage):
    """Timeline and map are drawn with texts for the mouse, light first and dark when the page turns dark."""
    page = notebook.page
    parameter = page.locator("svg.bml-mem path.k0").first

    assert min(page.locator("svg.bml-mem").evaluate_all(_TITLES)) >= 20
    assert parameter.evaluate(_FILL) == rgb(SHADES["parameter"].light)
    notebook.command("apputils:change-theme", theme="JupyterLab Dark")
    notebook.until(lambda: parameter.evaluate(_FILL) == rgb(SHADES["parameter"].dark), 30, "dark colours")
    notebook.command("apputils:change-theme", theme="JupyterLab Light")


def test_the_slider_estimates_again_and_the_pictures_stay(notebook: NotebookPage, server: Server):
    """One step of the slider changes report and pictures, and the saved notebook has them without a kernel."""
    page = notebook.page
    expect(page.get_by_text("Micro-batch 64, fp32")).to_be_visible()
    page.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Micro-batch 65, fp32")).to_be_visible()

    notebook.save()
    (cell,) = nbformat.read(server.root / notebook.name, 4).cells
    assert "Micro-batch 65, fp32" in cell.outputs[-1].data["text/html"]
    assert cell.outputs[-1].data["text/html"].count("<svg") == 2
    assert notebook.complaints() == []
