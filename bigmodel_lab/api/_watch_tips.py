"""Tips for a loop that is not ours: shown beside it, to be carried out by the person."""

from __future__ import annotations

from contextlib import AbstractContextManager

from bigmodel_lab.api._tip_board import TipBoard, asked_now_and_then
from bigmodel_lab.runlog import RunLog


def tips_shown(log: RunLog) -> AbstractContextManager[None]:
    """While the block runs, cards of the dashboard say what would help.

    Only the record is looked at, on a thread of its own: the loop is never asked and never waits.

    Args:
        log: Of the run.
    """
    board = TipBoard(log, simulated=log.header()["origin"] == "simulated", by_click=False)

    def show() -> None:
        from bigmodel_lab.tips._advisor import advise  # they trace models, which takes half a second to import
        from bigmodel_lab.tips._recorded import evidence_of_record

        board.show(advise(evidence_of_record(log)))

    return asked_now_and_then(log, show)
