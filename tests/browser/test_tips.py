"""Tips in a real JupyterLab, on a simulated card of 2 GiB: clicks reach a run whose cell is busy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.labserver import Server, jupyter
from tests.browser.page import Dashboard, NotebookPage, watch_until_moving

pytestmark = pytest.mark.browser

SETUP = """
from torch import nn
import bigmodel_lab as lab

class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.layers = nn.Sequential(*(nn.PReLU(32) for _ in range(16)))
        self.head = nn.Linear(32, 10)
    def forward(self, x):
        return self.head(self.layers(self.stem(x)).mean((2, 3)))
"""
TOO_LARGE = 'run = lab.fit(Deep(), device="virtual:2GiB", epochs=1, micro_batch_size=1024, optimizer="adam")'
SIZES = "print(run.status.value, run.config.effective_batch_size, run.config.micro_batch_size)"
LONG = 'run = lab.fit("simple_cnn", device="virtual:2GiB", precision="fp32", epochs=500)'
OWN_LOOP = """
import time, torch
from torch.utils.data import DataLoader, Dataset
import bigmodel_lab as lab

class Slow(Dataset):
    def __len__(self):
        return 4000
    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.zeros(6)

model = torch.nn.Linear(6, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with lab.watch(model, optimizer) as w:
    for batch in w(DataLoader(Slow(), batch_size=4)):
        optimizer.zero_grad(set_to_none=False)
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        w.log(loss=loss)
"""
BOUNDARY = """
asked = [e.step for e in run.events() if e.kind == "command" and e.data["name"] in ("apply", "undo")]
obeyed = [e.step for e in run.events() if e.kind == "changed"]
print([b - a <= 1 for a, b in zip(asked, obeyed)], run.config.precision)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab for the whole module."""
    with jupyter(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def notebook(tab: Page, server: Server) -> NotebookPage:
    """A tab for one notebook of this server."""
    return NotebookPage(tab, server)


def card(dashboard: Dashboard, title: str) -> Locator:
    """The card of a tip by the beginning of its title."""
    return dashboard.root.get_by_test_id("bml-tip").filter(has=dashboard.root.page.get_by_text(re.compile(f"^{title}")))


def test_a_run_that_would_run_out_shows_what_ran_out_and_finishes_after_a_click(
    notebook: NotebookPage, server: Server
) -> None:
    """The click on the micro-batch makes the same run finish, with the effective batch unchanged."""
    notebook.open(server.write("too_large.ipynb", [SETUP, TOO_LARGE, SIZES]))
    notebook.run_all()
    dashboard = notebook.dashboard(1)
    held = dashboard.root.get_by_test_id("bml-held")

    expect(held).to_contain_text("Out of GPU memory at step 1", timeout=90_000)
    expect(held).to_contain_text("activations")
    expect(held).to_contain_text("this process can have")
    float_of_labels = held.locator("dt").first.evaluate("node => getComputedStyle(node).float")
    assert float_of_labels == "none"  # as the page alone has it
    assert notebook.busy(1)
    card(dashboard, "Micro-batch 1024").get_by_test_id("bml-tip-apply").click()

    notebook.until_all_done(180)
    expect(notebook.outputs(2)).to_have_text("finished 1024 512")


def test_mixed_precision_in_mid_run_is_measured_and_undone(notebook: NotebookPage, server: Server) -> None:
    """While the cell is busy: in force at the next step, measured before and after, and undone by a click."""
    notebook.open(server.write("mid_run.ipynb", [SETUP, LONG, BOUNDARY]))
    notebook.run_all()
    dashboard = watch_until_moving(notebook, 1)
    bf16 = card(dashboard, "Mixed precision: bf16")

    bf16.get_by_test_id("bml-tip-apply").click(timeout=90_000)
    expect(bf16).to_have_attribute("data-state", "kept", timeout=90_000)
    expect(bf16).to_contain_text(re.compile(r"peak memory [\d.]+ MiB → [\d.]+ MiB"))
    expect(bf16).to_contain_text("control band")
    assert notebook.busy(1)
    bf16.get_by_test_id("bml-tip-undo").click()
    expect(bf16).to_have_attribute("data-state", "undone", timeout=60_000)
    dashboard.press("stop")

    notebook.until_all_done(60)
    expect(notebook.outputs(2)).to_have_text("[True, True] fp32")
    assert notebook.complaints() == []


def test_a_loop_of_ones_own_hears_what_would_help(notebook: NotebookPage, server: Server) -> None:
    """While it runs: cards with lines to copy, and no button, since nobody but the person can change that loop."""
    notebook.open(server.write("own_loop.ipynb", [OWN_LOOP]))
    notebook.run_all()
    dashboard = watch_until_moving(notebook, 0)
    workers = card(dashboard, "Workers of the loader")

    expect(workers).to_contain_text("The loader has 0 workers", timeout=60_000)
    expect(card(dashboard, "Drop gradients between steps")).to_be_visible()
    expect(workers.get_by_test_id("bml-tip-apply")).to_be_hidden()
    workers.get_by_test_id("bml-tip-details").click()
    expect(workers).to_contain_text("persistent_workers=True")
    assert notebook.busy(0)
    dashboard.press("stop")
    notebook.until_all_done(60)
