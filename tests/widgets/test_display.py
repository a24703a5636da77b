"""The display of a run, in a real kernel without a page."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

CELL = r"""
import sys, time, tempfile
sys.path.insert(0, {here!r})
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.widgets import RunDisplay, _bundle
log = RunLog.create("simple_cnn", tempfile.mkdtemp(), header=dict(total_steps=100_000))
streams = [log.stream("step", axis="step", keys=("loss", "accuracy", "step_seconds", "samples_per_second"))]
streams += [log.stream(n, axis="time", keys=tuple(f"{{n}}_{{i}}" for i in range(4))) for n in "abc"]
display = RunDisplay(log, log.mailbox)
display.show()
began, step = time.monotonic(), 0
while time.monotonic() - began < {seconds}:
    for stream in streams:
        stream.append(step, time.monotonic_ns(), (1.0, 2.0, 3.0, 4.0))
    if log.mailbox.flag:
        log.mailbox.take()
    time.sleep(0.002)
    step += 1
stage, inbound = display.stage, log.mailbox.inbound
log.close(Status.FINISHED)
display.finish()
print("STAGE", stage, "INBOUND", inbound)
"""


def cell(seconds):
    """The code of a cell that trains for so many seconds."""
    from pathlib import Path

    return CELL.format(seconds=seconds, here=str(Path(__file__).parent))


def of_type(seen, *types):
    """Content and size of the messages of these types."""
    return [(message["content"], size) for message, size in seen if message["msg_type"] in types]


def outputs(seen):
    """What was shown, in order."""
    return [content for content, _ in of_type(seen, "display_data", "update_display_data")]


def printed(seen):
    """What was printed."""
    return "".join(content["text"] for content, _ in of_type(seen, "stream"))


def custom(seen, kind):
    """Sizes of the widget's custom messages of one kind."""
    sent = [(content["data"].get("content", {}), size) for content, size in of_type(seen, "comm_msg")]
    return [size for content, size in sent if content.get("type") == kind]


@pytest.fixture
def answered(kernel):
    """A run whose widget says hello through a subshell, as in JupyterLab."""
    subshell = kernel.subshell()

    def hello(message):
        content = message["content"]
        if message["msg_type"] == "comm_open" and content["data"]["state"].get("_esm"):
            kernel.say(content["comm_id"], {"type": "hello", "view": "v"}, subshell)

    return kernel.run(cell(3), hello)


def test_hello_makes_the_widget_stay(answered):
    """The widget that was heard stays until the end; its buttons are known to work."""
    assert "STAGE widget INBOUND widget" in printed(answered)


def test_the_end_replaces_the_widget_by_a_picture(answered):
    """The last output has the display id of the first, and nothing of the widget."""
    first, last = outputs(answered)

    assert "application/vnd.jupyter.widget-view+json" in first["data"]
    assert set(last["data"]) == {"image/svg+xml", "text/plain"}
    assert first["transient"] == last["transient"]


@pytest.mark.alone
def test_updates_are_few_and_small(answered):
    """Sixteen series in four streams: at most ten updates a second, each below 2 kB; a keyframe below 16 kB."""
    deltas = custom(answered, "delta")

    assert 5 <= len(deltas) <= 36
    assert max(deltas) <= 2048
    assert max(custom(answered, "keyframe")) <= 16_000


def test_without_an_answer_pictures_come(kernel):
    """When nobody says hello, pictures with the reason take the widget's place."""
    seen = kernel.run(cell(4))
    shown = outputs(seen)

    assert "STAGE picture" in printed(seen)
    assert len({output["transient"]["display_id"] for output in shown}) == 1
    assert "does not answer" in shown[1]["data"]["image/svg+xml"]
    assert "does not answer" not in shown[-1]["data"]["image/svg+xml"]


def test_a_headless_kernel_gets_text_that_becomes_a_picture(kernel):
    """Where no input is possible, no widget is made; one output shows progress, then the end."""
    seen = kernel.run(cell(2.5), stdin=False)
    shown = outputs(seen)

    assert not of_type(seen, "comm_open")
    assert len({output["transient"]["display_id"] for output in shown}) == 1
    assert all(set(output["data"]) == {"text/plain"} for output in shown[:-1])
    assert set(shown[-1]["data"]) == {"image/svg+xml", "text/plain"}
    assert "step" in shown[1]["data"]["text/plain"]


def test_without_browser_code_pictures_come_at_once(kernel):
    """A missing bundle is told with what to do, and the run is shown all the same."""
    hide = "from bigmodel_lab.widgets import _bundle\n_bundle.bundle_missing = lambda *_: 'not built: npm run build'\n"
    shown = outputs(kernel.run(hide + cell(1)))

    assert "not built" in shown[0]["data"]["image/svg+xml"]
