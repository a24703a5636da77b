"""``bigmodel-lab demo``: execute a notebook for real and leave everything that a person wants to see."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunReader, Status, find_runs
from bigmodel_lab.widgets import ProgressLine


@dataclass(frozen=True)
class DemoResult:
    """What the demo left behind."""

    notebook: Path
    """The executed notebook."""
    report: Path
    """The same as one HTML file."""
    runs: tuple[Path, ...]
    """The run files that the notebook wrote."""

    def render(self) -> str:
        """What a person does with it, as text."""
        return text(
            "demo.done",
            "\nDone. This is what the run left behind:\n"
            "  executed notebook  {notebook}\n"
            "  report with plots  {report}   (open it in a browser)\n"
            "  run files          {runs}\n"
            "See it live, with buttons:  make lab   then Run > Run All Cells\n",
            notebook=self.notebook,
            report=self.report,
            runs="\n                     ".join(str(r) for r in self.runs),
        )


def run_demo(notebook: Path, output: Path, *, cell_timeout_s: int = 1800) -> DemoResult:
    """Execute a notebook in a kernel of its own, showing progress, and write notebook, report and run files.

    Args:
        notebook: The notebook to execute; it is not changed.
        output: Folder for the results, made when missing.
        cell_timeout_s: Seconds after which a cell counts as stuck.

    Raises:
        ConfigError: There is no such notebook.
        MissingPackageError: nbclient or nbconvert is not installed.
    """
    if not notebook.is_file():
        raise ConfigError(
            text(
                "demo.no_notebook",
                "There is no notebook {notebook}. Run the demo in a checkout of the project, or name a notebook: "
                "bigmodel-lab demo --notebook PATH",
                notebook=notebook,
            )
        )
    output.mkdir(parents=True, exist_ok=True)
    runs_dir = output / "runs"
    shutil.rmtree(runs_dir, ignore_errors=True)
    runs_dir.mkdir()
    print(text("demo.begin", "Executing {notebook} for real …", notebook=notebook), flush=True)  # noqa: T201
    with _progress(runs_dir):
        executed = _execute(notebook, runs_dir, cell_timeout_s)
    return _write(executed, output / notebook.name, runs_dir)


def _execute(notebook: Path, runs_dir: Path, cell_timeout_s: int) -> Any:
    try:
        import nbformat
        from nbclient import NotebookClient
    except ModuleNotFoundError as missing:
        raise MissingPackageError(str(missing.name), "execute a notebook", "lab") from missing
    nb = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        nb, timeout=cell_timeout_s, resources={"metadata": {"path": str(notebook.parent)}}, store_widget_state=False
    )
    env = {**os.environ, "BIGMODEL_LAB_HEADLESS": "1", "BIGMODEL_LAB_RUNS": str(runs_dir.resolve())}
    return client.execute(env=env)


def _write(executed: Any, target: Path, runs_dir: Path) -> DemoResult:
    import nbformat
    from nbconvert import HTMLExporter

    nbformat.write(executed, target)  # type: ignore[no-untyped-call]
    body, _ = HTMLExporter().from_notebook_node(executed)  # type: ignore[no-untyped-call]
    report = target.with_suffix(".html")
    report.write_text(body, encoding="utf-8")
    return DemoResult(target, report, tuple(sorted(runs_dir.glob("*.bmlrun"))))


@contextmanager
def _progress(runs_dir: Path) -> Iterator[None]:
    """Follow the run files that the notebook's kernel writes, from this other process."""
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(runs_dir, stop), name="demo progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(runs_dir: Path, stop: threading.Event) -> None:
    line: ProgressLine | None = None
    shown: Path | None = None
    while not stop.wait(0.5):
        live = [r.path for r in find_runs(runs_dir) if r.status in (Status.RUNNING, Status.PAUSED)]
        newest = live[0] if live else shown
        if newest is None:
            continue
        if newest != shown or line is None:
            line, shown = ProgressLine(RunReader(newest), sys.stdout), newest
        line.tick()
    if line is not None:
        line.finish()
