"""Where the tips of a live run are shown, and when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bigmodel_lab.api._tip_cards import card_data
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.tips.base import Proposal

_FIRST_ADVICE_SECONDS, _NEXT_ADVICE_SECONDS = 2.5, 60.0
_STEPS_BEFORE_ADVICE = 5
"""Fewer say nothing about the time of a step."""
_AGAIN = frozenset(("micro_batch_down", "micro_batch_up", "throughput_knee"))
"""Tips that may be followed more than once."""


class TipBoard:
    """The cards of one run: new ones are added, those that are no longer said are withdrawn.

    >>> log = RunLog.create("example")
    >>> board = TipBoard(log, simulated=False)
    >>> board.show((Proposal("tf32", "speed", "TF32", "The card has it."),))
    >>> [record.tip for record in log.proposals()], list(board.proposals)
    (['tf32'], [1])
    >>> log.close()
    """

    def __init__(self, log: RunLog, *, simulated: bool, by_click: bool = True) -> None:
        """Nothing is shown yet.

        Args:
            log: Of the run.
            simulated: Its card is simulated.
            by_click: Its loop can be changed from here; one that is not ours cannot.
        """
        self.proposals: dict[int, Proposal] = {}
        """Each that was ever shown, by its number in the log."""
        self._log, self._simulated, self._by_click = log, simulated, by_click

    def show(self, proposals: tuple[Proposal, ...]) -> None:
        """Let these be the open cards; what was applied stays.

        Args:
            proposals: All that the tips say now.
        """
        open_now = {r.id: r for r in self._log.proposals() if r.state == "proposed"}
        wanted = {proposal.tip: proposal for proposal in proposals}
        busy = {r.tip for r in self._log.proposals() if r.state in {"applied", "kept"}}
        for number, record in open_now.items():
            if record.tip in wanted and record.data["title"] == wanted[record.tip].title:
                self.proposals[number] = wanted.pop(record.tip)
                self._log.update_proposal(number, "proposed", **self._card(self.proposals[number]))
            else:
                self._log.update_proposal(number, "withdrawn")
        for proposal in wanted.values():
            if proposal.tip not in busy or proposal.tip in _AGAIN:
                self.proposals[self._log.propose(proposal.tip, self._card(proposal))] = proposal

    def _card(self, proposal: Proposal) -> dict[str, Any]:
        card = card_data(proposal, self._simulated)
        return card | {"can_apply": card["can_apply"] and self._by_click}


@contextmanager
def asked_now_and_then(log: RunLog, ask_now: Callable[[], object]) -> Iterator[None]:
    """While the block runs, advice is asked for: soon after the run has begun, then once a minute.

    Args:
        log: Of the run.
        ask_now: Called on a thread of its own while the run goes on.
    """
    over = threading.Event()

    def ask() -> None:
        wait = _FIRST_ADVICE_SECONDS
        while not over.wait(wait):
            if log.step >= _STEPS_BEFORE_ADVICE and log.status() is Status.RUNNING:
                ask_now()
                wait = _NEXT_ADVICE_SECONDS

    thread = threading.Thread(target=ask, name="tips clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
