"""One case in a process of its own: how long the estimate takes, what it takes of the host, what it says.

    python -m benchmarks.measuring.memory_run CASE TOOL --rounds 5 --threads 1

Prints one line of JSON, the fields of :class:`Run`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring.calibration import calibration_seconds
from benchmarks.measuring.machine import ROOT
from benchmarks.measuring.memory_cases import CASES, MemoryCase

if TYPE_CHECKING:
    from bigmodel_lab.estimate._plan import Plan

OURS, THEIRS = "bigmodel_lab", "MemTracker"
"""This library, and ``torch.distributed._tools.mem_tracker.MemTracker`` under the same stand-ins."""

_ENOUGH_S = 60.0


@dataclass(frozen=True)
class Run:
    """What one tool did with one case."""

    case: str
    """Key of ``CASES``."""
    tool: str
    """:data:`OURS` or :data:`THEIRS`."""
    imports_s: float
    """Importing torch and the library that defines the model, which every training does."""
    first_s: float
    """The first estimate of the process, our own imports included."""
    seconds: list[float]
    """Each of the following, the best first."""
    host_bytes: int
    """Most of the host's memory that the process held."""
    peak_bytes: int
    """Peak allocated that it predicts."""
    reserved_range: list[int] | None
    """Least and most reserved; None where the tool says nothing about it."""
    calibration_s: float
    """The calibration loop, just before."""

    @property
    def cold_more_s(self) -> float:
        """How much longer than the best of the others the first one took."""
        return self.first_s - self.seconds[0]


def run(case: str, tool: str, rounds: int, threads: int) -> Run:
    """Measure in a fresh process.

    Args:
        case: Key of ``CASES``.
        tool: :data:`OURS` or :data:`THEIRS`.
        rounds: Warm estimates, from 1.
        threads: Cores that the process may use.

    Raises:
        RuntimeError: It failed; carries what it said.
    """
    command = [sys.executable, "-m", __name__, case, tool, f"--rounds={rounds}", f"--threads={threads}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{tool} on {case}: {done.stderr.strip().splitlines()[-1]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def measure(case: MemoryCase, tool: str, rounds: int) -> Run:
    """Measure in this process; it should be a fresh one."""
    calibration_s = calibration_seconds()
    imports_s, _ = _timed(lambda: _import_libraries(case))
    estimate = {OURS: _ours, THEIRS: _theirs}[tool]
    first_s, (peak_bytes, reserved_range) = _timed(lambda: estimate(case))
    seconds = sorted(_rounds(lambda: estimate(case), rounds))
    return Run(
        case.name, tool, imports_s, first_s, seconds, host_peak_bytes(), peak_bytes, reserved_range, calibration_s
    )


def _rounds(work: Callable[[], Any], rounds: int) -> Iterator[float]:
    """Seconds of each round; fewer rounds where that would take minutes."""
    spent = 0.0
    for number in range(rounds):
        if number and spent > _ENOUGH_S:
            return
        took, _ = _timed(work)
        spent += took
        yield took


def host_peak_bytes() -> int:
    """Most of the host's memory that this process has held so far; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text("utf-8").splitlines() if status.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _import_libraries(case: MemoryCase) -> None:
    from bigmodel_lab.subjects import SUBJECTS

    if case.model in SUBJECTS.names() and SUBJECTS.get(case.model).package == "transformers":
        from transformers import BertForMaskedLM, GPT2LMHeadModel  # noqa: F401 (imported to be timed)
    else:
        import torch  # noqa: F401 (imported to be timed)


def _ours(case: MemoryCase) -> tuple[int, list[int] | None]:
    import bigmodel_lab as lab

    found = lab.estimate_memory(
        case.model, case.batch(), micro_batch_size=case.micro_batch_size, precision=case.precision
    )
    return found.peak_allocated_bytes, list(found.reserved_range)


def _theirs(case: MemoryCase) -> tuple[int, list[int] | None]:
    """The same two steps on the same stand-ins, as torchtitan's estimation script runs them."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    from bigmodel_lab.trace._fake import batch_of_stand_ins, model_of_stand_ins

    plan = _plan(case)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = model_of_stand_ins(plan.model(), mode)
    batch = batch_of_stand_ins(plan.batch, mode)
    with mode, MemTracker() as tracker:
        prepared = plan._training(model)  # noqa: SLF001 (the very step that ours traces)
        tracker.track_external(model, prepared.optimizer, batch)
        for _ in range(2):
            tracker.reset_mod_stats()
            prepared.step(batch)
        peak = tracker.get_tracker_snapshot("peak")
    return peak[torch.device("cpu")]["Total"], None


def _plan(case: MemoryCase) -> Plan:
    """What ``estimate_memory`` makes of the case, without tracing it."""
    from bigmodel_lab.estimate._batch import samples_of
    from bigmodel_lab.estimate._models import resolve_model
    from bigmodel_lab.estimate._plan import Plan

    source = resolve_model(case.model)
    assert source.loss is not None
    batch = case.batch()
    batch = source.example(source.defaults["micro_batch_size"]) if batch is None else batch
    optimizer = source.defaults.get("optimizer", "adamw")
    precision = case.precision or source.defaults.get("precision", "fp32")
    return Plan(source, source.loss, batch, samples_of(batch), optimizer=optimizer, precision=precision)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def main() -> None:
    """Measure one case and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("tool", choices=[OURS, THEIRS])
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    wanted = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: wanted.threads])
    print(json.dumps(asdict(measure(CASES[wanted.case], wanted.tool, wanted.rounds))))


if __name__ == "__main__":
    main()
