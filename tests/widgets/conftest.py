"""Makes the fakes importable by their plain name, and lends a kernel with no page before it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


class Kernel:
    """A real kernel, spoken to as a front end would, without a browser."""

    def __init__(self):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)

    def subshell(self):
        """Make a subshell, as JupyterLab does for widgets."""
        self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
        return self.client.get_control_msg(timeout=20)["content"]["subshell_id"]

    def say(self, comm_id, content, subshell):
        """Send a custom message of the browser to a widget."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    def run(self, code, on_message=lambda _: None, *, stdin=True):
        """Run a cell; every message that it caused, with its size in bytes as sent."""
        self.client.execute(code, allow_stdin=stdin)
        seen, ends = [], time.monotonic() + 60
        while time.monotonic() < ends:
            parts = self.client.iopub_channel.socket.recv_multipart()
            _, rest = self.client.session.feed_identities(parts)
            message = self.client.session.deserialize(rest)
            seen.append((message, sum(map(len, parts))))
            on_message(message)
            if message["msg_type"] == "error":
                pytest.fail("\n".join(message["content"]["traceback"]))
            ended = message["content"].get("execution_state") == "idle"
            if ended and message["parent_header"]["msg_type"] == "execute_request":
                return seen
        return pytest.fail("the cell did not end")

    def close(self):
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel():
    """A kernel of its own for the test."""
    started = Kernel()
    yield started
    started.close()
