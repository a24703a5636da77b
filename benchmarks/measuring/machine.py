"""What kind of machine a number was measured on, and where the numbers are kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
RECORDS = ROOT / "benchmarks" / "records"
"""Folder of the dated records."""
_PACKAGES = (
    "torch",
    "numpy",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "tqdm",
    "livelossplot",
    "lightning",
    "accelerate",
    "nvitop",
)


def machine() -> dict[str, Any]:
    """Kind of machine and versions, without anything that names it."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def record(benchmark: str, figures: dict[str, Any], report: str, folder: Path | None = None) -> list[Path]:
    """Keep figures and their report as ``DATE_BENCHMARK.json`` and ``.md``; returns the paths.

    Args:
        benchmark: Its name.
        figures: As values of JSON.
        report: The same as text.
        folder: Where; None is :data:`RECORDS`.
    """
    folder = RECORDS if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now().astimezone()
    facts: dict[str, Any] = {
        "benchmark": benchmark,
        "date": now.isoformat(timespec="minutes"),
        "command": command(),
        "machine": machine(),
    }
    stem = folder / f"{now:%Y-%m-%d}_{benchmark}"
    kind = facts["machine"]
    head = (
        f"# {benchmark}, {now:%Y-%m-%d}\n\n`{facts['command']}` on {kind['cores']} cores ({kind['processor']}), "
        f"{kind['system']}, Python {kind['python']}, torch {kind['versions']['torch']}, load {kind['load_1min']}.\n\n"
    )
    json_file, text_file = stem.with_suffix(".json"), stem.with_suffix(".md")
    json_file.write_text(json.dumps({**facts, **figures}, indent=1) + "\n", "utf-8")
    text_file.write_text(f"{head}```\n{report}\n```\n", "utf-8")
    return [json_file, text_file]


def recorded(benchmark: str) -> dict[str, Any]:
    """The figures that :func:`record` kept today; empty where there are none.

    Args:
        benchmark: Name of the benchmark.
    """
    path = RECORDS / f"{datetime.now().astimezone():%Y-%m-%d}_{benchmark}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def command() -> str:
    """The command line that runs this benchmark, from the root of the checkout."""
    program = Path(sys.argv[0])
    folders = program.parts[:-1]
    below = folders[folders.index("benchmarks") + 1 :] if "benchmarks" in folders else ()
    return " ".join(["python", Path("benchmarks", *below, program.name).as_posix(), *sys.argv[1:]])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
