"""The package set of Google Colab, under a raw client: the fallback pictures work where no widget answers.

An environment of its own holds the old packages; torch, NumPy and the rest come from the
project's environment, which is appended to its path.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

import bigmodel_lab
from bigmodel_lab.runlog import send_command

pytestmark = pytest.mark.environment

COLAB = ("ipykernel==6.17.1", "ipywidgets==7.7.1", "traitlets==5.7.1", "ipython==7.34.0", "anywidget==0.9.21")
THEIR_NEEDS = ("decorator", "backcall", "pickleshare", "ipython_genutils", "nest_asyncio", "widgetsnbextension==3.6.10")
SVG, WIDGET = "image/svg+xml", "application/vnd.jupyter.widget-view+json"


@dataclass
class Output:
    """All that came out of one cell."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """Contents of the messages of these kinds, in order."""
        return [m["content"] for m in self.messages if m["header"]["msg_type"] in kinds]

    def pictures(self) -> list[str]:
        """Every picture that was put in place of the display, in order."""
        return [content["data"][SVG] for content in self.of("update_display_data") if SVG in content["data"]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with Colab's packages."""
    folder = tmp_path_factory.mktemp("colab") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--no-deps"]
    done = subprocess.run([*pip, *COLAB, *THEIR_NEEDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (own,) = folder.glob("lib/python*/site-packages")
    rest = [*site.getsitepackages(), str(Path(bigmodel_lab.__file__).parents[1])]
    (own / "project.pth").write_text("\n".join(rest))
    return python


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the kernel writes its run files."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def client(python: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    """A kernel of that environment, as Colab's page would hold it."""
    private = tmp_path_factory.mktemp("kernel")
    manager = KernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[0] = str(python)
    folders = {"BIGMODEL_LAB_RUNS": str(runs), "JUPYTER_RUNTIME_DIR": str(private / "runtime")}
    quiet = {"IPYTHONDIR": str(private / "ipython"), "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    manager.start_kernel(env={**os.environ, **folders, **quiet}, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(
    client: BlockingKernelClient, code: str, meanwhile: Callable[[Output], None] = lambda _: None, seconds: float = 120
) -> Output:
    """Run a cell and take everything that it sends; ``meanwhile`` is called after each message while it runs."""
    output = Output()
    request = client.execute(code, allow_stdin=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = client.get_iopub_msg(timeout=deadline - time.monotonic())
        output.messages.append(message)
        kind, content = message["header"]["msg_type"], message["content"]
        mine = message["parent_header"].get("msg_id") == request
        if kind == "status" and mine and content["execution_state"] == "idle":
            return output
        meanwhile(output)
    raise AssertionError(f"the cell did not end within {seconds} s")


@pytest.fixture(scope="module")
def trained(client: BlockingKernelClient, runs: Path) -> Output:
    """A cell that trains until three pictures have come, while nobody answers the widget."""
    execute(client, "import bigmodel_lab as lab")
    stopped = []

    def stop_after_three(output: Output) -> None:
        if len(output.pictures()) >= 3 and not stopped:
            (run_file,) = runs.glob("*.bmlrun")
            send_command(run_file, "stop")
            stopped.append(run_file)

    return execute(client, "run = lab.fit('mlp', epochs=100_000)", stop_after_three)


def test_the_set_is_colabs(client: BlockingKernelClient):
    """The kernel really runs on the old packages."""
    names = "IPython, ipykernel, ipywidgets, traitlets, anywidget"
    code = f"import {names}\nprint([m.__version__ for m in ({names})])"
    (printed,) = execute(client, code).of("stream")

    assert printed["text"].strip() == "['7.34.0', '6.17.1', '7.7.1', '5.7.1', '0.9.21']"


def test_training_raises_nothing(trained: Output):
    """No error, and nothing on stderr."""
    assert trained.of("error") == []
    assert [c["text"] for c in trained.of("stream") if c["name"] == "stderr"] == []


def test_the_widget_comes_first(trained: Output):
    """The cell begins with the widget, under a display id by which it is replaced."""
    shown = trained.of("display_data")

    assert WIDGET in shown[0]["data"]
    assert shown[0]["transient"]["display_id"]


def test_pictures_come_while_the_cell_runs(trained: Output):
    """Nobody answered, so pictures take the widget's place, each with more of the run."""
    pictures = trained.pictures()

    assert len(pictures) >= 3
    assert len(set(pictures)) == len(pictures)
    assert all(picture.lstrip().startswith("<svg") for picture in pictures)


def test_the_picture_says_why(trained: Output):
    """One line tells why there is a picture and no dashboard."""
    assert "does not answer" in trained.pictures()[0]


def test_all_pictures_replace_one_display(trained: Output):
    """The output of the cell stays one."""
    ids = {c["transient"]["display_id"] for c in trained.of("display_data", "update_display_data")}

    assert len(ids) == 1


def test_the_last_picture_shows_the_end(trained: Output):
    """The final picture has no excuse in it, and no widget beside it."""
    last = trained.of("update_display_data")[-1]["data"]

    assert WIDGET not in last
    assert "stopped" in last[SVG]
    assert "does not answer" not in last[SVG]


def test_a_hello_after_the_end_is_answered(client: BlockingKernelClient, trained: Output):
    """A page that is loaded after the run gets the whole of it."""
    comm = next(c["comm_id"] for c in trained.of("comm_open") if "spec" in c["data"].get("state", {}))
    data = {"method": "custom", "content": {"type": "hello", "view": "test"}}
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
    answers = execute(client, "import time; time.sleep(1)").of("comm_msg")

    kinds = [c["data"]["content"]["type"] for c in answers if c["comm_id"] == comm and "content" in c["data"]]
    assert "keyframe" in kinds
