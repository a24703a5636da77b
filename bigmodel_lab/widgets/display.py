"""Shows a run where it is started: as a live widget, as pictures, or as a line of text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Source, StreamHeader
from bigmodel_lab.widgets import _progress
from bigmodel_lab.widgets._beat import Beat
from bigmodel_lab.widgets._cell import Cell, sending_errors
from bigmodel_lab.widgets._controls import Controls
from bigmodel_lab.widgets._frames import Frame
from bigmodel_lab.widgets._frontends import FrontEnd, detect
from bigmodel_lab.widgets._publisher import Publisher
from bigmodel_lab.widgets._spec import build_spec
from bigmodel_lab.widgets._state import StateReader
from bigmodel_lab.widgets._stream import RangeRequest
from bigmodel_lab.widgets._svg import picture

if TYPE_CHECKING:
    from bigmodel_lab.runlog.mailbox import Mailbox
    from bigmodel_lab.widgets.dashboard import Dashboard

Bundle = tuple[dict[str, Any], dict[str, Any]]
Stage = Literal["new", "widget", "picture", "text", "final"]

HEAR_SECONDS = 2.0
"""So long the widget may take to say hello before pictures take its place."""
PICTURE_SECONDS = 1.0
"""Least time between two pictures."""
FAST_SECONDS, SLOW_SECONDS, TEXT_SECONDS = 0.3, 0.5, 0.5
"""Time between two updates from a thread, from the training loop's own thread, and of text."""
_LAST_WORDS_SECONDS = 2.0


class RunDisplay:
    """The display of one run, from its first step until after its end.

    ``widget`` is live. When nothing is heard from the browser two seconds after it was
    shown, ``picture`` takes its place, at most one a second; a late hello brings the
    widget back. At the end both become ``final``, a picture that stays in the notebook.

    Example::

        display = RunDisplay(log, log.mailbox)
        display.show()
        trainer.run()
        display.finish()
    """

    def __init__(
        self,
        source: Source,
        mailbox: Mailbox | None = None,
        front: FrontEnd | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to show a run; nothing appears before :meth:`show`.

        Args:
            source: The run.
            mailbox: Of a live run: takes its commands, and its loop publishes where threads may not.
            front: Where to show it; None finds out.
            now: Clock in seconds.
        """
        self.front = front or detect()
        """Where the run is shown."""
        self.stage: Stage = "new"
        """What is shown now."""
        self.reason = ""
        """Why pictures are shown in place of the widget; empty while they are not."""
        self._source, self._mailbox, self._now = source, mailbox, now
        self._controls = Controls(mailbox)
        self._widget: Dashboard | None = None
        self._publisher = Publisher(source, self._send, on_structure=self._restructure, facts=self._controls.facts)
        self._reader = StateReader(source)
        self._text: _progress.ProgressLine | None = None
        self._cell = Cell()
        self._thread: Beat | None = None
        self._heard = threading.Event()
        self._asked = False  # the loop was asked to serve and has not yet
        self._finished = False
        self._shown_at = self._picture_due = 0.0
        self._next_bundle: Bundle | None = None

    def show(self) -> None:
        """Show the run in the running cell, or begin its line of text. Returns at once."""
        self._cell = Cell()
        self._shown_at = self._now()
        if self.front.kind == "notebook":
            self._show_in_notebook()
            job, seconds = self._notebook_beat, FAST_SECONDS if self.front.thread_updates else SLOW_SECONDS
        elif self.front.kind == "headless":
            self.stage = "text"
            self._publish(self._cell.show, self._line_bundle())
            job, seconds = self._headless_beat, PICTURE_SECONDS
        else:
            self.stage = "text"
            self._text = _progress.ProgressLine(self._source, now=self._now)
            job, seconds = self._text_beat, TEXT_SECONDS
        if self._mailbox is not None:
            self._mailbox.call_soon(self._controls.learn_loop)
        self._thread = Beat(self._cell.bind(lambda: self._guarded(job)), seconds)
        self._thread.start()

    def serve(self) -> None:
        """Publish what is due. Called on the training loop's thread; costs it one message."""
        self._asked = False
        if self.stage == "widget" and not self.front.thread_updates:
            self._publisher.tick()
        bundle, self._next_bundle = self._next_bundle, None
        if bundle is not None and not self._finished:
            self._publish(self._cell.replace, bundle)

    def finish(self) -> None:
        """Show the end: the final picture in place of the display, or the last line of text. Again: nothing."""
        if self._finished or self._thread is None:
            return
        self._finished = True
        self._thread.join(_LAST_WORDS_SECONDS)
        if self._widget is not None:
            self._publisher.tick()
        self._show_end()
        self.stage = "final"

    def __repr__(self) -> str:
        return f"RunDisplay({str(self._source.header()['name'])!r}, {self.stage})"

    # What is shown first

    def _show_in_notebook(self) -> None:
        try:
            self._widget = self._make_widget()
        except (ImportError, BigModelLabError) as error:
            self._use_pictures(str(error))
            self._publish(self._cell.show, self._picture_bundle())
        else:
            self.stage = "widget"
            self._publish(self._cell.show, self._widget.bundle())

    def _make_widget(self) -> Dashboard:
        from bigmodel_lab.widgets.dashboard import Dashboard

        return Dashboard(self._spec(self._source.streams()), self._receive)

    def _spec(self, streams: tuple[StreamHeader, ...]) -> dict[str, Any]:
        return build_spec(self._source, streams, controls=self._mailbox is not None)

    # What the thread of the display does

    def _guarded(self, job: Callable[[], bool]) -> bool:
        try:
            return job()
        except sending_errors() as error:
            self.reason = f"{type(error).__name__}: {error}"
            return not self._finished

    def _notebook_beat(self) -> bool:
        if self._finished:
            return False
        if self.stage == "widget" and self.front.thread_updates:
            self._publisher.tick()
        elif self.stage == "widget":
            self._ask_loop()
        self._choose_stage()
        waiting = self.stage == "widget" and not self._heard.is_set() and self._can_publish
        if self.stage == "picture" and self._now() >= self._picture_due:
            return self._offer_picture()
        return waiting or not (self.stage == "widget" and self._publisher.ended)

    def _headless_beat(self) -> bool:
        """One output that is replaced, because a saved notebook keeps every printed line."""
        if not self._finished:
            self._offer(self._line_bundle())
        return not self._finished and not self._source.status().ended

    def _text_beat(self) -> bool:
        return not self._finished and self._text is not None and self._text.tick()

    def _choose_stage(self) -> None:
        quiet = not self._heard.is_set() and self._now() - self._shown_at >= HEAR_SECONDS
        if self.stage == "widget" and self._publisher.failure is not None:
            self._use_pictures(self._publisher.failure)
        elif self.stage == "widget" and quiet and self._can_publish:
            self._use_pictures(text("display.quiet", "The live dashboard does not answer here while the cell runs."))
        elif self.stage == "picture" and self._heard.is_set() and self._widget and self._publisher.failure is None:
            self.stage, self.reason = "widget", ""
            self._offer(self._widget.bundle())

    def _use_pictures(self, reason: str) -> None:
        self.stage = "picture"
        self.reason = text("display.pictures", "{reason} Pictures are shown instead.", reason=reason)

    def _offer_picture(self) -> bool:
        """Draw a picture and have it published; False after the one that shows the end."""
        began, worked = self._now(), time.thread_time()
        ended = self._source.status().ended
        self._offer(self._picture_bundle())
        # Drawing takes at most a twentieth of a core, however many charts there are.
        self._picture_due = began + max(PICTURE_SECONDS, 20 * (time.thread_time() - worked))
        return not ended

    def _picture_bundle(self) -> Bundle:
        drawn = picture(self._source, note=self.reason)
        return {"image/svg+xml": drawn, "text/plain": self._line()}, {}

    def _line_bundle(self) -> Bundle:
        return {"text/plain": self._line()}, {}

    # How it gets out

    @property
    def _can_publish(self) -> bool:
        """Someone can publish while the run lives: a thread, or the training loop when asked."""
        return self.front.thread_updates or self._mailbox is not None

    def _offer(self, bundle: Bundle) -> None:
        self._next_bundle = bundle
        if self._mailbox is not None:
            self._ask_loop()
        elif self.front.thread_updates:
            self.serve()

    def _ask_loop(self) -> None:
        if not self._asked and self._mailbox is not None:
            self._asked = True  # one request at a time, however long a step takes
            self._mailbox.call_soon(self.serve)

    def _publish(self, how: Callable[[dict[str, Any], dict[str, Any]], None], bundle: Bundle) -> None:
        try:
            how(*bundle)
        except sending_errors() as error:
            self.reason = f"{type(error).__name__}: {error}"

    def _show_end(self) -> None:
        if self._text is not None:
            self._text.finish()
        self.reason = ""
        if self.front.kind != "script":
            self._publish(self._cell.replace, self._picture_bundle())

    def _line(self) -> str:
        return _progress.line(self._reader.read(), _progress.latest(self._source))

    # Messages

    def _send(self, frame: Frame) -> None:
        if self._widget is not None:
            self._widget.send_frame(frame)

    def _restructure(self, streams: tuple[StreamHeader, ...]) -> None:
        if self._widget is not None:
            self._widget.spec = self._spec(streams)

    def _receive(self, content: Mapping[str, Any]) -> None:
        """Handle a message of the browser, on whatever thread it came: only enqueue, then wake the publisher."""
        kind = content.get("type")
        self._controls.note_message()
        if kind == "hello":
            self._publisher.hello()
            self._heard.set()
        elif kind == "command":
            name, number = content.get("name"), content.get("id")
            ok = self._controls.post(name, self._source.status(), number)
            self._publisher.ack(str(name), ok=ok, number=number)
        elif kind == "range" and (request := RangeRequest.parse(content)) is not None:
            self._publisher.request_range(request)
        self._wake()

    def _wake(self) -> None:
        """Have it answered: by the publisher's thread, or here once that has ended."""
        if self._thread is not None and self._thread.alive:
            self._thread.wake()
        else:
            self._publisher.tick()
