"""The online demo: what binder/ installs runs the quickstart in the memory that mybinder.org gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import websocket
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.packaging.conftest import ROOT, run

BINDER = ROOT / "binder"
NOTEBOOK = "notebooks/01_quickstart.ipynb"
LIMIT_BYTES = 1_500_000_000
KERNEL_THAT_WORKS = SpecifierSet(">=7.1,!=7.4.0")


def pins(path: Path) -> dict[str, Requirement]:
    """The requirements of a file by name."""
    lines = (line for line in path.read_text().splitlines() if line and line[0] not in "#-")
    return {r.name: r for r in map(Requirement, lines)}


def test_every_requirement_is_an_exact_version() -> None:
    """An image built next year is the image that was tested."""
    assert [str(r) for r in pins(BINDER / "requirements.txt").values() if not str(r.specifier).startswith("==")] == []


def test_the_versions_are_the_tested_ones() -> None:
    """Only the kernel differs from constraints.txt."""
    tested = {name: r.specifier for name, r in pins(ROOT / "constraints.txt").items()}
    other = {name for name, r in pins(BINDER / "requirements.txt").items() if r.specifier != tested[name]}
    assert other == {"ipykernel"}


def test_the_kernel_is_one_whose_buttons_and_threads_work() -> None:
    """Binder's own ipykernel shows no updates from threads; 7.4.0 delivers no clicks during a cell."""
    (version,) = pins(BINDER / "requirements.txt")["ipykernel"].specifier
    assert KERNEL_THAT_WORKS.contains(version.version)


def test_torch_comes_without_cuda() -> None:
    """The CUDA wheel alone would be larger than the room that a Binder image has."""
    text = (BINDER / "requirements.txt").read_text()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu\n" in text
    assert "torch==2.13.0\n" in text


def test_python_is_pinned() -> None:
    """Binder would take an older Python by itself."""
    assert (BINDER / "runtime.txt").read_text().strip() == "python-3.11"


def test_the_link_opens_the_quickstart() -> None:
    """The link of the README leads to a notebook that is there."""
    link = re.search(r"urlpath=lab/tree/(\S+)", (BINDER / "README.md").read_text())
    assert link is not None
    assert link[1] == NOTEBOOK
    assert (ROOT / link[1]).exists()


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_the_scripts_can_be_run(name: str) -> None:
    """Binder runs them as programs."""
    assert os.access(BINDER / name, os.X_OK)


def test_start_hands_over_with_one_thread() -> None:
    """Binder gives one processor."""
    words = [BINDER / "start", sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"]
    assert run(*words).strip() == "1"


def resident_bytes(process: psutil.Process) -> int:
    """Memory of one process; nothing where it has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@dataclass
class Server:
    """A Jupyter server of the test, with what it takes to talk to it."""

    process: psutil.Popen
    port: int
    token: str

    def call(self, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        """One request to the REST interface."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def wait(self, deadline: float) -> None:
        """Until the server answers."""
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                self.call("status")
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError("the server did not answer in time")

    def resident_bytes(self) -> int:
        """Memory of the server and all its children now: the kernel and whatever it started."""
        return sum(map(resident_bytes, [self.process, *self.process.children(recursive=True)]))


class Peak(threading.Thread):
    """Watches the memory of a server ten times a second."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.ended, self.highest = server, threading.Event(), 0

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.wait(0.1):
            self.highest = max(self.highest, self.server.resident_bytes())


@pytest.fixture(scope="module")
def checkout(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Binder clones; with the finished bundle where the checkout has one."""
    copy = tmp_path_factory.mktemp("binder") / "repository"
    return Path(shutil.copytree(source, copy))


@pytest.fixture(scope="module")
def python(checkout: Path) -> Path:
    """A clean environment with exactly what binder/ installs, in Binder's order."""
    venv = checkout.parent / "venv"
    run(sys.executable, "-m", "venv", venv)
    # Here, offline or behind a mirror, PyTorch's index may not answer; pip then goes on without it.
    quick = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "60"}
    env = {**os.environ, **quick, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for words in ([venv / "bin/pip", "install", "-r", "binder/requirements.txt"], ["binder/postBuild"]):
        ended = subprocess.run(words, cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=1500)
        assert ended.returncode == 0, f"{words}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return venv / "bin" / "python"


@pytest.fixture(scope="module")
def server(python: Path, checkout: Path) -> Iterator[Server]:
    """A real JupyterLab server, started as Binder starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home, token = checkout.parent / "home", uuid.uuid4().hex
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    env = {**os.environ, **{key: str(home / name) for key, name in folders.items()}, "HOME": str(home)}
    env |= {"BIGMODEL_LAB_RUNS": str(home / "runs"), "IPYTHONDIR": str(home / "ipython")}
    command = [checkout / "binder/start", python, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    with (checkout.parent / "server.log").open("w") as log:
        process = psutil.Popen([*map(str, command)], cwd=checkout, env=env, stdout=log, stderr=subprocess.STDOUT)
        running = Server(process, port, token)
        try:
            running.wait(time.monotonic() + 90)
            yield running
        finally:
            for child in [*process.children(recursive=True), process]:
                child.terminate()
            process.wait(30)


def run_cells(server: Server, kernel: str, cells: list[str]) -> list[str]:
    """Run cells one after another over the server's websocket; returns the tracebacks."""
    url = f"ws://127.0.0.1:{server.port}/api/kernels/{kernel}/channels?token={server.token}"
    socket_ = websocket.create_connection(url, timeout=300)
    try:
        return [problem for cell in cells for problem in run_cell(socket_, cell)]
    finally:
        socket_.close()


def run_cell(socket_: websocket.WebSocket, code: str) -> list[str]:
    """Run one cell and wait for its reply; the traceback where it raised."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": uuid.uuid4().hex}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header | {"version": "5.3", "date": ""}, "parent_header": {}, "metadata": {}}
    socket_.send(json.dumps(message | {"content": content, "channel": "shell", "buffers": []}))
    while True:
        raw = socket_.recv()
        if isinstance(raw, bytes):  # the charts' numbers
            continue
        answer = json.loads(raw)
        if answer["msg_type"] == "execute_reply" and answer["parent_header"].get("msg_id") == header["msg_id"]:
            return ["\n".join(answer["content"]["traceback"])] if answer["content"]["status"] == "error" else []


@pytest.mark.environment
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quickstart_runs_in_a_binder_sized_machine(
    server: Server, checkout: Path, record_property: Callable[[str, object], None]
) -> None:
    """Server and kernel together stay below 1.5 GB while every cell of the quickstart runs, of the 2 GB that Binder gives."""
    notebook = json.loads((checkout / NOTEBOOK).read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    peak = Peak(server)
    peak.start()
    session = server.call(
        "sessions", {"path": NOTEBOOK, "name": NOTEBOOK, "type": "notebook", "kernel": {"name": "python3"}}
    )
    kernel = str(dict(session["kernel"])["id"])
    threads = "import torch; assert torch.get_num_threads() == 1, torch.get_num_threads()"

    problems = run_cells(server, kernel, [*cells, threads])

    peak.ended.set()
    peak.join()
    record_property("peak_resident_bytes", peak.highest)
    sys.stdout.write(f"highest resident memory of server and kernel: {peak.highest / 1e9:.2f} GB\n")  # seen with -rP
    assert problems == []
    assert 100_000_000 < peak.highest < LIMIT_BYTES
