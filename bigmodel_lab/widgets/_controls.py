"""Buttons of the browser: whether they get through, and where they go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets._state import RunState

if TYPE_CHECKING:
    from bigmodel_lab.runlog.mailbox import Mailbox

COMMANDS = frozenset({"pause", "resume", "stop"})
"""What the browser may ask of the run."""
TIP_COMMANDS = frozenset({"apply", "undo"})
"""What it may ask about a proposal, by its number."""
_PATIENCE_SECONDS = 3.0


class Controls:
    """Puts the browser's commands into the mailbox, and finds out whether they arrive in time."""

    def __init__(self, mailbox: Mailbox | None) -> None:
        self._mailbox = mailbox
        self._loop: int | None = None
        self._handlers: set[int] = set()
        self.live = False
        """A message of the browser arrived while the loop was busy elsewhere."""

    def learn_loop(self) -> None:
        """Note the thread of the training loop; called on it."""
        self._loop = threading.get_ident()
        self._judge()

    def note_message(self) -> None:
        """Note that a message arrived, in the thread that handles it."""
        self._handlers.add(threading.get_ident())
        self._judge()

    def post(self, name: object, status: Status, number: object = None) -> bool:
        """Put a command into the mailbox; False where there is none, or nothing to command.

        A button pressed during a cell may arrive after it. It must not hit the next run.

        Args:
            name: As the browser sent it.
            status: Where the run stands.
            number: Of the proposal that it is about, as the browser sent it; None for a command about the run.
        """
        if self._mailbox is None or status.ended or not isinstance(name, str):
            return False
        if name in TIP_COMMANDS and isinstance(number, int) and not isinstance(number, bool):
            self._mailbox.post(name, "widget", id=number)
        elif name in COMMANDS:
            self._mailbox.post(name, "widget")
        else:
            return False
        return True

    def facts(self, state: RunState) -> dict[str, Any]:
        """How each button works now: ``"live"``, ``"queued"`` until the cell ends, ``"none"``.

        In the first seconds a button counts as live: the browser may just not have drawn yet.
        """
        heard = self.live or state.elapsed <= _PATIENCE_SECONDS
        how = "live" if heard else "queued"
        if self._mailbox is None or state.status.ended:
            how = "none"
        paused = state.status is Status.PAUSED
        return {"controls": {"pause": "none" if paused else how, "resume": how if paused else "none", "stop": how}}

    def _judge(self) -> None:
        # Handled on another thread than the loop's, so it got past the loop. On the loop's own thread
        # it only shows that the loop was not running just then.
        if self._mailbox is not None and not self.live and self._loop is not None and self._handlers - {self._loop}:
            self.live = True
            self._mailbox.prove_inbound("widget")
