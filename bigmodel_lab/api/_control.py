"""Commands to a run in another process: what ``bigmodel-lab ctl`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import LiveRun, Status, live_runs, send_command


def control(action: str, run: str | None = None, tip: str | None = None) -> str:
    """Ask a live run to pause, resume, stop, write a checkpoint, apply or undo a tip; returns one line that says what was asked.

    Args:
        action: ``"pause"``, ``"resume"``, ``"stop"``, ``"checkpoint"``, ``"apply"`` or ``"undo"``.
        run: Id of a live run (its beginning is enough) or a run file; None takes the only live run.
        tip: Name or number of the tip to apply or undo; None for other actions.

    Raises:
        ConfigError: No run is live, or several are and none was named; or it is not said which tip.
        UnknownNameError: No live run has this id.
    """
    if action in _OF_TIPS and tip is None:
        raise ConfigError(
            text("ctl.which_tip", "{action} which tip? Name it: bigmodel-lab ctl {action} --tip bf16", action=action)
        )
    path = Path(run) if run is not None and Path(run).is_file() else _live(run).path
    args: dict[str, Any] = {} if tip is None else {"id": _number_or_name(tip)}
    send_command(path, action, **args)
    return text("ctl.sent", "Asked {path} to {action}; it obeys at its next step.", path=path, action=action)


_OF_TIPS = frozenset(("apply", "undo"))


def _number_or_name(tip: str) -> int | str:
    return int(tip) if tip.isdigit() else tip


def _live(run: str | None) -> LiveRun:
    live = [r for r in live_runs() if r.status is not Status.LOST]  # a killed one obeys nobody
    found = [r for r in live if run is None or r.run_id.startswith(run)]
    if len(found) == 1:
        return found[0]
    if run is not None and not found:
        raise UnknownNameError("live run", run, [r.run_id for r in live])
    if not live:
        raise ConfigError(text("ctl.none", "No run is live on this machine."))
    ids = ", ".join(f"{r.run_id} ({r.name})" for r in found)
    raise ConfigError(text("ctl.many", "Several runs are live; name one of: {ids}.", ids=ids))


def live_table() -> str:
    """The live runs of this machine as text, one a line: id, name, status, step, process."""
    rows = [
        text(
            "ctl.live_row",
            "{run_id}  {name}  {status}  step {step}  pid {pid}  {notebook}",
            run_id=run.run_id,
            name=run.name,
            status=run.status.value,
            step=run.step + 1,
            pid=run.process.pid,
            notebook=run.notebook or "",
        ).rstrip()
        for run in live_runs()
    ]
    return "\n".join(rows) or text("ctl.none", "No run is live on this machine.")
