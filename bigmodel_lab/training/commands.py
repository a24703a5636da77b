"""What the loop does at a step boundary when something lies in the mailbox."""

from __future__ import annotations

from collections.abc import Callable

from bigmodel_lab.runlog import Mailbox, RunLog, Status

_WAIT_S = 1.0  # the mailbox wakes the loop at once; this only bounds one wait
_MEANING = {"pause": Status.PAUSED, "resume": Status.RUNNING, "stop": Status.STOPPED}


class Commands:
    """Obeys pause, resume, stop and what the mailbox has an answer for; runs on the loop's thread."""

    def __init__(self, log: RunLog, settle: Callable[[], None]) -> None:
        """Args: ``settle`` is called before a pause, so that the log shows every step made."""
        self._log = log
        self._mailbox: Mailbox = log.mailbox
        self._settle = settle

    def stop_wanted(self) -> bool:
        """Take what was posted and obey it; waits as long as the run is paused.

        Returns:
            True when the run shall stop now.
        """
        wanted = self._next(Status.RUNNING)
        if wanted is Status.PAUSED:
            wanted = self._pause()
        return wanted is Status.STOPPED

    def hold(self, until: Callable[[], bool]) -> bool:
        """Wait as in a pause, obeying what comes, until something has happened or a stop is wanted.

        Args:
            until: Asked after each command; True goes on.

        Returns:
            False when the run shall stop.
        """
        return self._pause(until) is not Status.STOPPED

    def _pause(self, until: Callable[[], bool] = lambda: False) -> Status:
        self._settle()
        self._log.set_status(Status.PAUSED)
        wanted = Status.PAUSED
        while wanted is Status.PAUSED and not until():
            self._mailbox.wait(_WAIT_S)
            wanted = self._next(wanted)
        if wanted is not Status.STOPPED:
            self._log.set_status(Status.RUNNING)
        return wanted

    def _next(self, state: Status) -> Status:
        """The state after all commands that lie in the mailbox; nothing undoes a stop."""
        for command in self._mailbox.take():
            if command.name in self._mailbox.answers:
                self._settle()
                self._mailbox.answers[command.name](command)
            elif command.name not in _MEANING:
                self._log.event("ignored", name=command.name, source=command.source)
            elif state is not Status.STOPPED:
                state = _MEANING[command.name]
        return state
