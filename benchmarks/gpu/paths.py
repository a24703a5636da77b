"""The library's own CUDA code, path by path. One command for a machine on which ``torch.cuda`` answers.

    python benchmarks/gpu/paths.py [--list] [--only fit,tip] [--record]

Runs every path of ``benchmarks/gpu/path_kinds`` in a process of its own, with a time limit: ``fit`` in all its
settings, ``watch`` and the callbacks, the search for a batch size, every tip applied and undone, steps that run out of
memory, and what is asked of the driver. Memory, devices, states and the course of events are checked, never numbers
that kernels compute, so that it also runs where a card is emulated; each path says what is left to judge on a real
one. Prints one line a path. Exit status 2: there is no CUDA card; 1: a path fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path as File
from typing import Any, NoReturn

sys.path.insert(0, str(File(__file__).resolve().parents[2]))

import torch

from benchmarks.gpu.path_kinds import fitting, full, loops, machines, tips
from benchmarks.gpu.path_kinds.base import EMULATED, Path, emulated
from benchmarks.measuring.machine import record, recorded

PATHS: tuple[Path, ...] = (*fitting.PATHS, *loops.PATHS, *tips.PATHS, *full.PATHS, *machines.PATHS)
"""All, in this order."""
NO_CARD = (
    "gpu/paths.py runs the library's CUDA code, and PyTorch finds no CUDA device here. Run it on a machine with a GPU, or "
    "over an emulated card."
)
CONTEXT_MIB = "380"
"""What a small emulated card loses to its context, whatever its name."""
_SAID = "checked: "


@dataclass(frozen=True)
class Outcome:
    """What became of a path."""

    name: str
    """Of the path."""
    passed: bool | None
    """None: it was not run, as something is missing."""
    seconds: float
    """Of its process, start included."""
    said: str
    """What was checked; else why it failed, or was not run."""
    judged_by_a_card: str
    """What only a real card can say of it."""

    def __str__(self) -> str:
        word = {True: "pass", False: "FAIL", None: "–   "}[self.passed]
        left = f"  [a real card still judges {self.judged_by_a_card}]" if self.judged_by_a_card else ""
        return f"{word} {self.seconds:5.1f} s  {self.name}: {self.said}{left}"


def main(words: Sequence[str] | None = None, paths: Sequence[Path] = PATHS) -> int:
    """Run, print, keep.

    Args:
        words: The command line; None is that of the process.
        paths: All that there are.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the paths and run none")
    parser.add_argument("--only", default="", help="paths whose names contain one of these words, commas between them")
    parser.add_argument("--path", help="run this one in this process")
    parser.add_argument(
        "--record", action="store_true", help="keep the outcomes in benchmarks/records, beside those of today"
    )
    chosen = parser.parse_args(words)
    if chosen.list:
        print("\n".join(path.name for path in paths))
        return 0
    if not _ask(torch.cuda.is_available):
        print(NO_CARD, file=sys.stderr)
        return 2
    if chosen.path is not None:
        return run_here(next(path for path in paths if path.name == chosen.path))
    wanted = [path for path in paths if any(word in path.name for word in chosen.only.split(","))]
    outcomes = []
    for outcome in run_all(wanted):
        print(outcome, flush=True)
        outcomes.append(outcome)
    print(summary(outcomes))
    if chosen.record:
        _keep(outcomes, paths)
    return 0 if passed(outcomes) else 1


def run_all(paths: Sequence[Path]) -> Iterator[Outcome]:
    """Each as soon as it is known.

    Args:
        paths: In this order.
    """
    for path in paths:
        missing = why_not(path, os.environ, _ask(torch.cuda.device_count))
        yield Outcome(path.name, None, 0.0, missing, path.judged_by_a_card) if missing else in_own_process(path)


def why_not(path: Path, around: Mapping[str, str], cards: int) -> str:
    """Why a path cannot be run here; empty where it can.

    Args:
        path: Any.
        around: The environment.
        cards: That PyTorch sees.

    >>> why_not(Path("x", str, cards=4), {}, cards=1)
    'needs 4 cards'
    """
    absent = [package for package in path.needs if find_spec(package) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    if EMULATED in around:
        return path.not_emulated
    return f"needs {path.cards} cards" if cards < path.cards else ""


def _ask(question: Callable[[], int | str | bool]) -> Any:
    """What CUDA answers, asked in another process: this one is forked, which CUDA does not survive."""
    answer = in_own_process(Path("question", lambda: json.dumps(question())))
    if not answer.passed:
        raise RuntimeError(answer.said)
    return json.loads(answer.said)


def in_own_process(path: Path) -> Outcome:
    """One path in a process of its own: a fork of this one, which has loaded everything and never asks CUDA anything.

    Args:
        path: Any.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            _in_child(path, told.fileno())
        status = _waited_for(child, began + path.seconds)
        told.seek(0)
        lines = told.read().strip().splitlines() or ["said nothing"]
    seconds = round(time.monotonic() - began, 1)
    said = [line.removeprefix(_SAID) for line in lines if line.startswith(_SAID)]
    if status == 0 and said:
        return Outcome(path.name, True, seconds, said[-1], path.judged_by_a_card)
    why = f"took more than {path.seconds:.0f} s" if status is None else f"{lines[-1][:300]} (exit status {status})"
    return Outcome(path.name, False, seconds, why, path.judged_by_a_card)


def _in_child(path: Path, told: int) -> NoReturn:
    """Everything that is said goes into the file ``told``."""
    os.dup2(told, 1)
    os.dup2(told, 2)
    sys.stdout = sys.stderr = os.fdopen(told, "w", buffering=1, closefd=False)
    os.environ.update(environment(path, os.environ))
    status = 1
    try:  # also where a path ends its process
        status = run_here(path)
        sys.stdout.flush()
    finally:
        os._exit(status)


def _waited_for(child: int, end: float) -> int | None:
    """Its exit status; None where it was killed, as its time was up."""
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def environment(path: Path, around: Mapping[str, str]) -> dict[str, str]:
    """The environment of a path: an emulated machine is as large as it needs, a real one is as it is.

    Args:
        path: Any.
        around: That of this process.

    >>> environment(Path("x", str, cards=4, total_mib=600), {"EMU_CARD": "T4"})
    {'EMU_CARD': 'T4', 'EMU_DEVICES': '4', 'EMU_TOTAL_MIB': '600', 'EMU_CONTEXT_MIB': '380'}
    """
    size = {"EMU_DEVICES": str(path.cards)} if path.cards > 1 else {}
    size |= {} if path.total_mib is None else {"EMU_TOTAL_MIB": str(path.total_mib), "EMU_CONTEXT_MIB": CONTEXT_MIB}
    return {**around, **(size if EMULATED in around else {})}


def run_here(path: Path) -> int:
    """One path in this process; its last line says what was checked.

    Args:
        path: Any.
    """
    try:
        said = path.check()
    except Exception as error:  # noqa: BLE001 (whatever a path raises is its failure, and is said)
        traceback.print_exc()
        print(f"{type(error).__name__}: {' '.join(str(error).split())}")
        return 1
    print(f"{_SAID}{said}")
    return 0


def passed(outcomes: Sequence[Outcome]) -> bool:
    """None failed, and one at least was run."""
    return any(one.passed for one in outcomes) and not any(one.passed is False for one in outcomes)


def summary(outcomes: Sequence[Outcome]) -> str:
    """The last line."""
    counts = [sum(one.passed is kind for one in outcomes) for kind in (True, False, None)]
    left = sum(bool(one.judged_by_a_card) for one in outcomes if one.passed)
    return (
        f"{counts[0]} paths pass, {counts[1]} fail, {counts[2]} were not run; of those that pass {left} have something left "
        "that only a real card can judge"
    )


def _keep(outcomes: Sequence[Outcome], paths: Sequence[Path]) -> None:
    """One record a card and day; paths that were not run this time stay in it as they were."""
    is_emulated, card = _ask(emulated), _ask(torch.cuda.get_device_name)
    facts = {"card": card, "emulated": is_emulated, "torch": torch.__version__, "cuda": torch.version.cuda}
    name = f"gpu_paths_{'emulated_' if is_emulated else ''}{card.split()[-1].lower()}"
    known = {one["name"]: Outcome(**one) for one in recorded(name).get("paths", ())}
    known |= {one.name: one for one in outcomes}
    kept = [known[path.name] for path in paths if path.name in known]
    where = f"{card}, {'EMULATED: kernels compute nothing' if is_emulated else 'measured'}, torch {torch.__version__}"
    text = "\n".join([where, "", *map(str, kept), "", summary(kept)])
    record(name, {**facts, "paths": list(map(asdict, kept))}, text)


if __name__ == "__main__":
    sys.exit(main())
