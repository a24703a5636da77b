"""What works here and what does not, with one command for each gap."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal

from bigmodel_lab.errors import RunFolderError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.folder import writable_runs_folder
from bigmodel_lab.samplers import CardTable, read_cards
from bigmodel_lab.widgets import FrontEnd, bundle_missing, detect, probe_widget

Verdict = Literal["works", "limited", "missing"]
_MARKS = {"works": "✓", "limited": "~", "missing": "✗"}


@dataclass(frozen=True)
class Finding:
    """The answer to one question about this machine."""

    subject: str
    """What was looked at."""
    verdict: Verdict
    """``"limited"``: the product works without it, or in a smaller way."""
    found: str
    """What was found, in words."""
    remedy: str = ""
    """One command or action that closes the gap; empty where there is none or none is needed."""


@dataclass(frozen=True)
class Report:
    """All findings; prints as a list."""

    findings: tuple[Finding, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """The findings as values of JSON."""
        return [asdict(f) for f in self.findings]

    def render(self) -> str:
        """The findings as text, one a line, each gap followed by its remedy."""
        width = max(len(f.subject) for f in self.findings)
        lines = []
        for f in self.findings:
            lines.append(f"{_MARKS[f.verdict]} {f.subject.ljust(width)}  {f.found}")
            if f.remedy:
                lines.append(f"  {' ' * width}  → {f.remedy}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.render()


def examine() -> Report:
    """Look at the front end, the command channels, the GPU driver, PyTorch and the run folder."""
    front = detect()
    cards = read_cards()
    heard = probe_widget() if front.kind == "notebook" else None
    return Report(
        (
            _front_end(front),
            _widget(front, heard),
            _commands(front, heard),
            _driver(cards),
            _torch(cards),
            _run_folder(),
        )
    )


def _front_end(front: FrontEnd) -> Finding:
    return Finding(text("doctor.front_end", "front end"), "works", f"{front.name} ({front.reason})")


def _widget(front: FrontEnd, heard: bool | None) -> Finding:
    subject = text("doctor.widget", "live dashboard")
    missing = bundle_missing()
    if missing:
        return Finding(subject, "limited", missing, "pip install --force-reinstall --no-deps bigmodel_lab")
    if heard is None:
        return Finding(subject, "limited", text("doctor.widget.text", "no notebook here: a line of text instead"))
    if heard:
        return Finding(subject, "works", text("doctor.widget.heard", "the browser answered while this cell was busy"))
    found = text("doctor.widget.silent", "the browser did not answer within 2 s: charts go out as pictures")
    return Finding(
        subject, "limited", found, _WIDGET_REMEDY.get(front.name, "pip install anywidget   (then reload the page)")
    )


_WIDGET_REMEDY = {
    "vscode": "lab.fit(…, background=True)   (VS Code delivers clicks only between cells)",
    "colab": "run = lab.fit(…) and the ■ button   (Colab delivers clicks only between cells)",
}


def _commands(front: FrontEnd, heard: bool | None) -> Finding:
    subject = text("doctor.commands", "pause and stop")
    interrupt = text("doctor.commands.interrupt", "Interrupt (Ctrl+C, ■) and `bigmodel-lab ctl` in a terminal")
    if heard:
        return Finding(subject, "works", text("doctor.commands.all", "buttons, {rest}", rest=interrupt))
    verdict: Verdict = "limited" if front.kind == "notebook" else "works"
    return Finding(subject, verdict, interrupt)


def _driver(cards: CardTable) -> Finding:
    subject = text("doctor.nvml", "NVIDIA driver")
    if cards.cards:
        names = ", ".join(card.name for card in cards.cards)
        return Finding(subject, "works", names)
    return Finding(subject, "limited", cards.reason or text("doctor.nvml.none", "no NVIDIA card"))


def _torch(cards: CardTable) -> Finding:
    subject = "PyTorch"
    if find_spec("torch") is None:
        return Finding(
            subject, "missing", text("doctor.torch.none", "not installed"), 'pip install "bigmodel_lab[train]"'
        )
    import torch

    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else text("doctor.torch.cpu", "CPU build")
    found = f"{torch.__version__}, {built_for}"
    if cards.cards and not torch.version.cuda:
        return Finding(subject, "limited", found, "pip install --force-reinstall torch")
    if torch.version.cuda and cards.cards and not torch.cuda.is_available():
        found += text("doctor.torch.driver", "; the driver is too old for it, or CUDA_VISIBLE_DEVICES hides the cards")
        return Finding(subject, "limited", found, "nvidia-smi   (compare its CUDA version)")
    return Finding(subject, "works", found)


def _run_folder() -> Finding:
    subject = text("doctor.runs", "run folder")
    try:
        folder = writable_runs_folder()
    except RunFolderError as error:
        return Finding(subject, "missing", str(error), "export BIGMODEL_LAB_RUNS=~/runs")
    return Finding(subject, "works", str(folder))


__all__ = ["Finding", "Report", "examine"]
