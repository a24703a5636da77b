"""Questions about the machine that need no run: who is on the cards, what works here."""

from __future__ import annotations

from bigmodel_lab._doctor import Report, examine
from bigmodel_lab.runlog import live_runs
from bigmodel_lab.samplers import CardTable, read_cards


def gpus() -> CardTable:
    """Every NVIDIA card of this machine and who uses it; your own processes are marked.

    Returns:
        A table that prints itself: used and total memory, utilization, and for each process its
        user, command or notebook, age and memory. Without a card or driver it is empty and says why.

    >>> import bigmodel_lab as lab
    >>> table = lab.gpus()
    >>> len(table.cards) > 0 or bool(table.reason)
    True
    """
    return read_cards(notebooks={run.process.pid: run.notebook for run in live_runs() if run.notebook})


def doctor() -> Report:
    """What works here: front end, live dashboard, command channels, driver, PyTorch, run folder.

    In a notebook this shows an invisible widget for up to two seconds to see whether the browser answers.

    >>> import bigmodel_lab as lab
    >>> "PyTorch" in str(lab.doctor())
    True
    """
    return examine()
