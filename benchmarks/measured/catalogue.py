"""All measured programs by name."""

from __future__ import annotations

from functools import cache

from benchmarks.measured import grid, recorded, t4
from benchmarks.measured.program import Program


@cache
def catalogue() -> dict[str, Program]:
    """By name: the real runs, the recorded ones, then the grid.

    >>> catalogue()["gpt2_4x128"].samples
    4
    """
    return {program.name: program for program in (*t4.programs(), *recorded.programs(), *grid.programs())}
