"""A private Jupyter server, and a notebook page in headless Chromium: what the browser tests stand on."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Server:
    """A running Jupyter server of a test module."""

    app: str
    """``"lab"`` or ``"notebook"``."""
    base: str
    """Its address, without a slash at the end."""
    token: str
    """Needed in every request."""
    root: Path
    """Where its notebooks lie."""
    runs: Path
    """Where its kernels write run files."""

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Make a notebook with these code cells; returns its name."""
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), self.root / name)
        return name

    def address(self, name: str) -> str:
        """Where the browser finds a notebook."""
        if self.app == "notebook":
            return f"{self.base}/notebooks/{name}?token={self.token}"
        return f"{self.base}/lab/tree/{name}?token={self.token}&reset"


@contextlib.contextmanager
def jupyter(
    folder: Path, app: str = "lab", *, disabled: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run JupyterLab or Notebook 7 with folders, settings and a token of its own.

    Args:
        folder: Where everything goes; the notebooks into its subfolder ``notebooks``.
        app: ``"lab"`` or ``"notebook"``.
        disabled: Names of front-end extensions that this server does not serve.
        environment: More variables for the server and its kernels.
    """
    root, private = folder / "notebooks", folder / "private"
    root.mkdir(parents=True)
    _write_settings(private, disabled)
    token, port = secrets.token_hex(16), _free_port()
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": root,
        "IdentityProvider.token": token,
        "LabApp.extension_manager": "readonly",
        "KernelManager.shutdown_wait_time": 2,
    }
    command = [sys.executable, "-m", "jupyter", app, "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += [f"--{name}={value}" for name, value in options.items()]
    variables = {**os.environ, **_private_folders(private), **(environment or {})}
    server = Server(app, f"http://127.0.0.1:{port}", token, root, private / "runs")
    with (private / "log").open("w") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT, cwd=root)
        try:
            _wait_until_ready(server, process, private / "log")
            yield server
        finally:
            _end(process)


def _private_folders(private: Path) -> dict[str, str]:
    return {
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_DATA_DIR": str(private / "data"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
        "IPYTHONDIR": str(private / "ipython"),
        "BIGMODEL_LAB_RUNS": str(private / "runs"),
        "OMP_NUM_THREADS": "1",  # leaves a core to the browser
    }


def _write_settings(private: Path, disabled: Sequence[str]) -> None:
    for plugin, values in SETTINGS.items():
        _write_json(private / "settings" / f"{plugin}.jupyterlab-settings", values)
    _write_json(
        private / "config" / "labconfig" / "page_config.json", {"disabledExtensions": dict.fromkeys(disabled, True)}
    )


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), "utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Jupyter did not start:\n{log.read_text('utf-8')}")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.base}/api/status?token={server.token}", timeout=5):
            return True
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # the server ends its kernels with itself
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
