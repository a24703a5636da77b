"""A real Jupyter kernel, and the part of a browser that the dashboard needs to be live.

Like JupyterLab it opens a subshell for the messages of widgets, and answers each new
dashboard with a hello; it counts every byte that the kernel publishes.
"""

from __future__ import annotations

import ast
import json
import os
import time
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from benchmarks.measuring.machine import ROOT

_SECONDS = 300


@dataclass(frozen=True)
class Published:
    """One message of the kernel to its front ends."""

    received_ns: int
    """``time.perf_counter_ns()`` when it arrived."""
    bytes: int
    """All its parts together."""
    kind: str
    """``msg_type``."""
    content: dict[str, Any] = field(repr=False)
    """Its content."""
    buffers: int
    """Bytes of its binary buffers."""


class CellFailedError(RuntimeError):
    """A cell raised an error; the message is its traceback."""


class Kernel:
    """A kernel that runs cells for a person who looks at a page.

    >>> with Kernel() as kernel:
    ...     value, _ = kernel.run("result = 6 * 7")
    >>> value
    42
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="bench-")
        self._manager = KernelManager(kernel_name="python3")

    def __enter__(self) -> Kernel:  # noqa: PYI034 (Self needs Python 3.11)
        folder = self._folder.name
        own = {"BIGMODEL_LAB_RUNS": folder, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._manager.start_kernel(cwd=str(ROOT), env={**os.environ, **own}, extra_arguments=["--log-level=40"])
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels(hb=False)
        self._client.wait_for_ready(timeout=_SECONDS)
        self._subshell = self._open_subshell()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()

    def run(self, code: str) -> tuple[Any, list[Published]]:
        """Run a cell; the value of its variable ``result`` (a literal), and all that was published.

        Raises:
            CellFailedError: The cell raised an error.
        """
        sent = self._client.execute(code, user_expressions={"result": "__import__('json').dumps(result)"})
        published, reply, idle = [], None, False
        while reply is None or not idle:
            for channel in self._wait():
                if channel == "iopub":
                    message, parent = self._receive_published()
                    published.append(message)
                    self._answer(message)
                    idle |= parent == sent and message.content.get("execution_state") == "idle"
                else:
                    answer = self._client.shell_channel.get_msg(timeout=1)
                    reply = answer["content"] if answer["parent_header"].get("msg_id") == sent else reply
        return _value(reply), published

    def _wait(self) -> list[str]:
        poller, sockets = zmq.Poller(), {}
        for name in ("iopub", "shell"):
            socket = getattr(self._client, f"{name}_channel").socket
            sockets[socket] = name
            poller.register(socket, zmq.POLLIN)
        ready = poller.poll(_SECONDS * 1000)
        if not ready:
            raise CellFailedError(f"The kernel said nothing for {_SECONDS:g} s.")
        return [sockets[socket] for socket, _ in ready]

    def _receive_published(self) -> tuple[Published, str | None]:
        raw = self._client.iopub_channel.socket.recv_multipart()
        received = time.perf_counter_ns()
        _, parts = self._client.session.feed_identities(raw)
        message = self._client.session.deserialize(parts)
        buffers = sum(len(b) for b in message["buffers"])
        published = Published(received, sum(map(len, raw)), message["msg_type"], message["content"], buffers)
        return published, message["parent_header"].get("msg_id")

    def _answer(self, message: Published) -> None:
        """Say hello to a new dashboard, as its view in the browser does."""
        state = message.content.get("data", {}).get("state", {})
        if message.kind == "comm_open" and "spec" in state and "_esm" in state:
            self.say(message.content["comm_id"], {"type": "hello", "view": "benchmark"})

    def say(self, comm: str, content: dict[str, Any]) -> None:
        """Send a custom message to a widget, on the subshell."""
        data = {"comm_id": comm, "data": {"method": "custom", "content": content}}
        message = self._client.session.msg("comm_msg", data)
        if self._subshell is not None:
            message["header"]["subshell_id"] = self._subshell
        self._client.shell_channel.send(message)

    def _open_subshell(self) -> str | None:
        message = self._client.session.msg("create_subshell_request", {})
        self._client.control_channel.send(message)
        try:
            reply = self._client.control_channel.get_msg(timeout=5)
        except TimeoutError:  # ipykernel 6 has none
            return None
        subshell: str | None = reply["content"].get("subshell_id")
        return subshell


def _value(reply: dict[str, Any]) -> Any:
    if reply["status"] != "ok":
        raise CellFailedError("\n".join(reply.get("traceback", [reply["status"]])))
    expression = reply["user_expressions"]["result"]
    if expression["status"] != "ok":
        raise CellFailedError(f"The cell left no result: {expression.get('evalue')}")
    return json.loads(ast.literal_eval(expression["data"]["text/plain"]))
