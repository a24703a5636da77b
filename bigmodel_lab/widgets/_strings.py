"""Every text that the browser shows, so that one catalogue translates Python and browser alike."""

from __future__ import annotations

from bigmodel_lab.i18n import Text
from bigmodel_lab.runlog.base import Status

STATUS = {
    Status.RUNNING: Text("status.running", "running"),
    Status.PAUSED: Text("status.paused", "paused"),
    Status.FINISHED: Text("status.finished", "finished"),
    Status.STOPPED: Text("status.stopped", "stopped"),
    Status.FAILED: Text("status.failed", "failed"),
    Status.LOST: Text("status.lost", "lost: its process is gone"),
}
"""Name of each status, for a person."""

TIP_STATE = {
    "proposed": Text("dashboard.tip_proposed", "proposed"),
    "applied": Text("dashboard.tip_applied", "being measured"),
    "kept": Text("dashboard.tip_kept", "kept"),
    "reverted": Text("dashboard.tip_reverted", "taken back"),
    "inconclusive": Text("dashboard.tip_inconclusive", "no clear effect"),
    "undone": Text("dashboard.tip_undone", "undone"),
}
"""What became of a proposal, for a person; one that was withdrawn is not shown."""

BADGE = {
    "simulated": Text("origin.simulated", "simulated"),
    "recorded": Text("origin.recorded", "recorded"),
}
"""Label of numbers that were not measured here and now."""

_TEXTS = (
    Text("dashboard.status_waiting", "Waiting for the run"),
    Text("dashboard.step_of", "step {step} of {total}"),
    Text("dashboard.step_only", "step {step}"),
    Text("dashboard.epoch_of", "epoch {epoch} of {epochs}"),
    Text("dashboard.epoch_only", "epoch {epoch}"),
    Text("dashboard.elapsed", "{time} elapsed"),
    Text("dashboard.time_left", "about {time} left"),
    Text("dashboard.progress", "Progress of the run"),
    Text("dashboard.pause", "Pause"),
    Text("dashboard.resume", "Resume"),
    Text("dashboard.stop", "Stop"),
    Text("dashboard.pausing", "Pausing…"),
    Text("dashboard.resuming", "Resuming…"),
    Text("dashboard.stopping", "Stopping…"),
    Text(
        "dashboard.command_slow",
        "The training has not answered yet. If the cell is busy, the ■ Interrupt button of the toolbar "
        "pauses or stops it.",
    ),
    Text(
        "dashboard.command_refused",
        "The training did not take this command. The ■ Interrupt button of the toolbar pauses or stops it.",
    ),
    Text(
        "dashboard.controls_queued",
        "Here a click reaches the training only after the cell has ended. To stop now, press the ■ Interrupt "
        "button of the toolbar; run.resume() in the next cell goes on from the same step.",
    ),
    Text(
        "dashboard.controls_none",
        "Buttons do not reach the training here. To stop, press the ■ Interrupt button of the toolbar; "
        "run.resume() in the next cell goes on from the same step.",
    ),
    Text(
        "dashboard.controls_paused",
        "Buttons do not reach the training here. It goes on with the command below; the ■ Interrupt button "
        "of the toolbar stops it.",
    ),
    Text("dashboard.controls_terminal", "Or in a terminal: {command}"),
    Text("dashboard.copy", "Copy"),
    Text("dashboard.copied", "Copied"),
    Text(
        "dashboard.no_news",
        "No news from the kernel for {time}. The training may still run; the charts go on when it answers.",
    ),
    Text(
        "dashboard.never_heard",
        "No kernel answers this view. Run the cell again, or open the recorded run with lab.open_run().",
    ),
    Text("dashboard.what_is_this", "What is this?"),
    Text("dashboard.recorded_as", "Recorded as {key}"),
    Text("dashboard.value_now", "Now {value}."),
    Text("dashboard.value_range", "In this run from {lowest} to {highest}."),
    Text("dashboard.unknown_now", "Not known now: {reason}"),
    Text("dashboard.charts", "Charts"),
    Text("dashboard.latest_values", "Latest values"),
    Text("dashboard.table", "Table"),
    Text("dashboard.table_caption", "Latest, lowest and highest value of every series in this run"),
    Text("dashboard.table_chart", "Chart"),
    Text("dashboard.table_series", "Series"),
    Text("dashboard.table_latest", "Latest"),
    Text("dashboard.table_lowest", "Lowest"),
    Text("dashboard.table_highest", "Highest"),
    Text("dashboard.log_scale", "Log"),
    Text("dashboard.log_scale_title", "Show the vertical axis in powers of ten"),
    Text("dashboard.reset_zoom", "Reset"),
    Text("dashboard.reset_zoom_title", "Show the whole run again and follow it"),
    Text("dashboard.keys_title", "Mouse and keys"),
    Text(
        "dashboard.keys_text",
        "Drag over a chart to zoom in. Hold Ctrl (or ⌘) and turn the wheel to zoom, Shift and drag to move, "
        "double-click to see everything. With the keyboard: Tab to a chart, arrow keys move the cursor, Home and "
        "End go to the ends, + and - zoom, Shift with an arrow moves, 0 resets.",
    ),
    Text("dashboard.no_values_yet", "no values yet"),
    Text("dashboard.chart_label", "{title}, chart. Arrow keys move the cursor, plus and minus zoom, 0 resets."),
    Text("dashboard.chart_summary", "{title}: {values}"),
    Text("dashboard.cursor_step", "step {step}"),
    Text("dashboard.cursor_time", "at {time}"),
    Text("dashboard.tips", "Tips"),
    Text("dashboard.tips_one", "1 tip: {titles}"),
    Text("dashboard.tips_many", "{count} tips: {titles}"),
    Text("dashboard.apply", "Apply"),
    Text("dashboard.applying", "Applying…"),
    Text("dashboard.undo", "Undo"),
    Text("dashboard.undoing", "Undoing…"),
    Text("dashboard.details", "Details"),
    Text("dashboard.expected", "expected"),
    Text("dashboard.measured", "measured here"),
    Text("dashboard.costs", "What it may cost"),
    Text("dashboard.in_mid_run", "can be done while the run goes on"),
    Text("dashboard.in_new_run", "takes a new run"),
    Text("dashboard.simulated", "simulated"),
    Text("dashboard.needs_restart", "needs a restart"),
    Text("dashboard.goal_memory", "memory"),
    Text("dashboard.goal_speed", "speed"),
    Text("dashboard.goal_quality", "quality"),
    Text("dashboard.goal_energy", "energy"),
    Text("dashboard.in_use", "In use at that moment"),
    Text("dashboard.original_error", "Original error"),
    *TIP_STATE.values(),
)


def strings() -> dict[str, str]:
    """The browser's texts by short key, as its interface ``Strings`` lists them; ``{name}`` is filled in there.

    >>> strings()["pause"], strings()["status_paused"]
    ('Pause', 'paused')
    """
    shown = {entry.key.removeprefix("dashboard."): str(entry) for entry in _TEXTS}
    return shown | {f"status_{status.value}": str(name) for status, name in STATUS.items()}
