"""Tips of a running run: asked for, shown, applied between two steps, measured, kept or undone.

Everything here that touches the model happens on the training loop's thread, at a step boundary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bigmodel_lab.api._tip_board import TipBoard
from bigmodel_lab.api._tip_cards import measured_data
from bigmodel_lab.errors import BigModelLabError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.runlog import Command, RunLog
from bigmodel_lab.tips._advisor import advise
from bigmodel_lab.tips._batch import title as batch_title
from bigmodel_lab.tips._evidence import evidence_of, platform
from bigmodel_lab.tips._verdict import Measured, judge
from bigmodel_lab.tips.base import Evidence, OtherCard, Proposal
from bigmodel_lab.training import TrainConfig, Trainer
from bigmodel_lab.training.changing import changed
from bigmodel_lab.training.recovery import Changeable, OutOfMemoryFacts, Shrink
from bigmodel_lab.training.rehearsal import rehearse

_REHEARSAL_SECONDS = 4.0
"""So long a click may keep the training waiting for its measurement, as far as steps can be foreseen."""
_WINDOWS = 4  # before and after, twice in turn
_FEWEST_STEPS, _MOST_STEPS = 2, 8
_HEARD_SECONDS = 3.0
"""After so long a browser that can answer has been heard: the widget greets every quarter of a second."""
_ADVICE_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, BigModelLabError, LookupError, OSError),
    *(RuntimeError, TypeError, ValueError),
)
"""The person's model is copied and run on stand-ins: whatever its code makes of that must not end the training."""
Result = TypeVar("Result")


class TipDesk:
    """Where proposals of one run lie, and who carries them out.

    It is also the run's :class:`~bigmodel_lab.training.recovery.Recovery`: a step that runs out of memory waits here for
    a click, is made smaller, or ends the run.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        card: Callable[[], Card | None],
        simulated: bool,
        others_bytes: Callable[[], int],
        other_cards: Callable[[], tuple[OtherCard, ...]],
        documented: TrainConfig | None,
        auto: bool,
    ) -> None:
        """Nothing is asked before the run.

        Args:
            trainer: Of the run.
            card: Where it runs; gives None without a card. Asked when advice is.
            simulated: The card is simulated.
            others_bytes: What other processes hold on it. Asked when advice is.
            other_cards: Other cards that are free. Asked when advice is.
            documented: The settings that the model is documented with.
            auto: Apply what is safe without being asked.
        """
        self._trainer = trainer
        self._card, self._others_bytes, self._other_cards = card, others_bytes, other_cards
        self._simulated, self._documented, self._auto = simulated, documented, auto
        self._undo: dict[int, dict[str, Any]] = {}
        self._undone: set[str] = set()
        self._answered = False
        self._shrink = Shrink()
        self._can_be_asked: Callable[[], bool] = lambda: False

    def attach(self, log: RunLog, *, in_notebook: bool, background: bool) -> None:
        """Take commands of this run from now on.

        Args:
            log: Of the run.
            in_notebook: It is shown in a notebook, where a browser may answer.
            background: Its thread leaves the person's free to answer.
        """
        self._log, self._in_notebook = log, in_notebook
        self._board = TipBoard(log, simulated=self._simulated)
        self._can_be_asked = lambda: in_notebook and (background or self._browser_is_heard())
        log.mailbox.answers.update(advise=lambda _: self.refresh(), apply=self._apply_command, undo=self._undo_command)

    # ------------------------------------------------------------ advice

    def evidence(self, full: OutOfMemoryFacts | None = None) -> Evidence:
        """What is known of the run now; waits for the device, and traces the step. Between two steps only.

        Args:
            full: The request that has just failed; None when none has.
        """
        around = platform(others=self._other_cards(), in_notebook=self._in_notebook)
        return evidence_of(
            self._trainer,
            self._log,
            card=self._card(),
            simulated=self._simulated,
            others_bytes=self._others_bytes(),
            documented=self._documented,
            full=full,
            around=around,
        )

    def refresh(self, full: OutOfMemoryFacts | None = None) -> tuple[Proposal, ...]:
        """Ask all tips anew, and show what they say."""
        try:
            proposals = elsewhere(lambda: advise(self.evidence(full), without=self._undone))
        except _ADVICE_ERRORS as error:
            self._log.event("advice_failed", error=type(error).__name__, message=str(error))
            return ()
        self._board.show(proposals)
        if self._auto and full is None:
            self._apply_safe()
        return proposals

    def _apply_safe(self) -> None:
        """What ``auto`` does by itself, and says so."""
        for record in self._log.proposals():
            proposal = self._board.proposals.get(record.id)
            if record.state == "proposed" and proposal is not None and proposal.safe and proposal.can_apply:
                self._log.event("auto_applied", tip=record.tip, title=proposal.title)
                self.apply(record.id, by_itself=True)
                self._tell(record.id)
                return  # one at a time: the next is judged by what this one has changed

    def _tell(self, number: int) -> None:
        """One line for the person who did not click."""
        record = next(one for one in self._log.proposals() if one.id == number)
        line = text(
            "tips.auto",
            "Tip applied by itself, {state}: {title}. {verdict}",
            state=record.state,
            title=record.data["title"],
            verdict=record.data.get("verdict", ""),
        )
        print(line)  # noqa: T201 (``auto`` says what it does)

    # ------------------------------------------------------------ apply and undo

    def apply(self, number: int, *, by_itself: bool = False) -> None:
        """Carry a proposal out: measure it, then keep it or not.

        Args:
            number: Its id in the log.
            by_itself: Nobody asked for it: what has no clear effect is taken back.

        Raises:
            UnknownNameError: There is no such proposal.
        """
        proposal = self._find(number)
        before = self._trainer.config
        try:
            after = changed(before, proposal.change)
            if not proposal.can_apply or after == before:
                self._log.update_proposal(number, "proposed", verdict=text("tips.cannot", "Not in this run."))
                return
            self._log.update_proposal(number, "applied")
            if self._is_held:
                after = self._until_it_runs(number, before, after)
            measured = self._measure(proposal, before, after)
            keeps = measured.verdict == "kept" or (measured.verdict == "inconclusive" and not by_itself)
            if keeps:
                self._trainer.change(after)
                self._undo[number] = {name: getattr(before, name) for name in proposal.change}
                self._answered = True
        except (BigModelLabError, RuntimeError) as error:  # a compiler that fails, an allocator that refuses
            self._log.update_proposal(number, "reverted", verdict=f"{type(error).__name__}: {error}", can_undo=False)
            return
        state = measured.verdict if keeps or measured.verdict == "reverted" else "reverted"
        self._log.update_proposal(number, state, verdict=measured.sentence, can_undo=keeps, **measured_data(measured))

    def undo(self, number: int) -> None:
        """The settings that the proposal changed are again what they were before; steps made meanwhile stay.

        Args:
            number: Its id in the log.

        Raises:
            UnknownNameError: It was not applied.
        """
        proposal, old = self._find(number), self._undo.pop(number, None)
        if old is None:
            raise UnknownNameError(text("tips.kind_applied", "applied proposal"), str(number), map(str, self._undo))
        self._trainer.change(changed(self._trainer.config, old))
        self._undone.add(proposal.tip)
        self._log.update_proposal(number, "undone", can_undo=False)

    def _until_it_runs(self, number: int, before: TrainConfig, after: TrainConfig) -> TrainConfig:
        """A micro-batch that was predicted to fit and does not is halved, so that one click is enough; others stay."""
        if after.micro_batch_size == before.micro_batch_size:
            return after
        while after.micro_batch_size > 1:
            (window,) = rehearse(self._trainer, [after], _FEWEST_STEPS)
            if window.out_of_memory is None:
                break
            self._log.event("tried", micro_batch_size=after.micro_batch_size, out_of_memory=True)
            after = after.with_micro_batch(-(-after.micro_batch_size // 2))
            self._log.update_proposal(number, "applied", title=batch_title(before, after.micro_batch_size))
        return after

    def _measure(self, proposal: Proposal, before: TrainConfig, after: TrainConfig) -> Measured:
        steps = self._steps_to_rehearse()
        if self._is_held:  # the old settings do not run
            windows = rehearse(self._trainer, [after], _FEWEST_STEPS)
            return judge(proposal, (), windows, simulated=self._simulated)
        windows = rehearse(self._trainer, [before, after, before, after], steps)
        return judge(proposal, windows[::2], windows[1::2], simulated=self._simulated)

    def _steps_to_rehearse(self) -> int:
        rows = self._log.count("step")
        seconds = self._log.read("step", max(0, rows - 20)).values[:, 2] if rows else ()
        one = float(min(seconds, default=0.0)) or _REHEARSAL_SECONDS
        return max(_FEWEST_STEPS, min(_MOST_STEPS, int(_REHEARSAL_SECONDS / _WINDOWS / one)))

    def _find(self, number: int) -> Proposal:
        shown = self._board.proposals
        if number not in shown:
            raise UnknownNameError(text("tips.kind", "proposal"), str(number), map(str, shown))
        return shown[number]

    def _apply_command(self, command: Command) -> None:
        self._obey(self.apply, command)

    def _undo_command(self, command: Command) -> None:
        self._obey(self.undo, command)

    def _obey(self, action: Callable[[int], None], command: Command) -> None:
        try:
            action(self.number_of(command.args.get("id")))
        except BigModelLabError as error:
            self._log.event("refused", name=command.name, message=str(error))
            shown = {one.id: one for one in self._log.proposals()}.get(command.args.get("id", 0))
            if shown is not None:  # so that a button which waits for an answer gets one
                self._log.update_proposal(shown.id, shown.state, verdict=str(error))

    def number_of(self, which: object) -> int:
        """The id of a proposal, given as that or by the name of its tip.

        Raises:
            UnknownNameError: There is no such proposal.
        """
        if isinstance(which, int) and not isinstance(which, bool):
            return which
        named = [r.id for r in self._log.proposals() if r.tip == which and r.state != "withdrawn"]
        if named:
            return named[-1]
        if isinstance(which, str) and which.isdigit():
            return int(which)
        raise UnknownNameError(text("tips.kind", "proposal"), str(which), {r.tip for r in self._log.proposals()})

    # ------------------------------------------------------------ out of memory

    _is_held = False

    @property
    def action(self) -> str:
        """``"ask"``, ``"shrink"`` or ``"raise"``."""
        wanted = self._trainer.config.on_oom
        if wanted == "auto":
            return "ask" if self._can_be_asked() else "raise"
        return "raise" if wanted == "ask" and not self._in_notebook else wanted

    def changed(self, run: Changeable, full: OutOfMemoryFacts) -> bool:
        """Ask, shrink, or give up."""
        action = self.action
        if action == "shrink":
            return self._shrink.changed(run, full)
        self._is_held = True
        try:
            self.refresh(full)
            if action == "raise":
                return False
            self._answered = False
            return self._trainer.hold(lambda: self._answered)
        finally:
            self._is_held = False

    def _browser_is_heard(self) -> bool:
        """A click would get through; a browser that is still drawing gets some seconds."""
        waited = 0.0
        while self._log.mailbox.inbound is None and waited < _HEARD_SECONDS:
            threading.Event().wait(0.1)
            waited += 0.1
        return self._log.mailbox.inbound is not None


def elsewhere(job: Callable[[], Result]) -> Result:
    """The result of ``job()``, run on a thread of its own while this one waits.

    A simulated card charges what its own thread computes; a trace must not be charged.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="advice") as other:
        return other.submit(job).result()
