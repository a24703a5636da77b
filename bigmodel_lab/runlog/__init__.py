"""The record of a run: one append-only file, written beside the training, read by cursor.

>>> from bigmodel_lab.runlog import Status
>>> Status.STOPPED.ended
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bigmodel_lab.runlog.base import Axis, Block, Event, ProposalRecord, Reduced, Source, Status, StreamHeader

if TYPE_CHECKING:
    from bigmodel_lab.runlog.export import export_csv, export_parquet, export_tensorboard
    from bigmodel_lab.runlog.find import RunSummary, find_run, find_runs, send_command
    from bigmodel_lab.runlog.folder import SUFFIX, runs_folder
    from bigmodel_lab.runlog.log import RunLog
    from bigmodel_lab.runlog.mailbox import Command, Mailbox
    from bigmodel_lab.runlog.reader import RunReader
    from bigmodel_lab.runlog.registry import LiveRun, live_runs
    from bigmodel_lab.runlog.ring import Stream

__all__ = [
    "SUFFIX",
    "Axis",
    "Block",
    "Command",
    "Event",
    "LiveRun",
    "Mailbox",
    "ProposalRecord",
    "Reduced",
    "RunLog",
    "RunReader",
    "RunSummary",
    "Source",
    "Status",
    "Stream",
    "StreamHeader",
    "export_csv",
    "export_parquet",
    "export_tensorboard",
    "find_run",
    "find_runs",
    "live_runs",
    "runs_folder",
    "send_command",
]

# loaded on first use: what only draws charts pays neither for SQLite nor for the exports
_WHERE = {
    "export": ("export_csv", "export_parquet", "export_tensorboard"),
    "find": ("RunSummary", "find_run", "find_runs", "send_command"),
    "folder": ("SUFFIX", "runs_folder"),
    "log": ("RunLog",),
    "mailbox": ("Command", "Mailbox"),
    "reader": ("RunReader",),
    "registry": ("LiveRun", "live_runs"),
    "ring": ("Stream",),
}


def __getattr__(name: str) -> object:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
