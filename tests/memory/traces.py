"""Traces of requests as a training step makes them, small or large."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from bigmodel_lab.memory.requests import CATEGORIES, Allocation, Mark, RequestTrace

KIB, MIB = 2**10, 2**20


@dataclass
class Given:
    """Amounts that a test makes up."""

    allocated: tuple[int, ...]
    reserved: tuple[int, ...]
    stopped_at: int | None = None


class Writer:
    """Writes a trace request by request."""

    def __init__(self):
        self.allocations, self.sequence, self.marks = [], [], []

    def ask(self, count, category, module="", maker="aten.empty", shape=()):
        """Ask for memory; its number."""
        self.allocations.append(Allocation(count, category, module, maker, shape, "float32"))
        self.sequence.append(len(self.allocations) - 1)
        return len(self.allocations) - 1

    def free(self, *numbers):
        """Give memory back."""
        self.sequence += [~number for number in numbers]

    def mark(self, phase, step):
        """Begin a phase."""
        self.marks.append(Mark(len(self.sequence), phase, step))

    def trace(self):
        """All of it."""
        return RequestTrace(tuple(self.allocations), tuple(self.sequence), tuple(self.marks))


def training_trace(layers=4, width=256, batch=64, steps=2):
    """Two linear layers with a nonlinearity a block, AdamW: parameters, two steps, each phase marked."""
    to = Writer()
    names = [f"blocks.{n}.{part}" for n in range(layers) for part in ("up", "down")]
    to.mark("load", -1)
    for name in names:
        to.ask(4 * width * width, "parameter", name, "aten.uniform_", (width, width))
        to.ask(4 * width, "parameter", name, "aten.uniform_", (width,))
    for step in range(steps):
        _step(to, step, names, (batch, width))
    return to.trace()


def _step(to, step, names, shape):
    weight, kept = 4 * shape[1] ** 2, 4 * shape[0] * shape[1]
    to.mark("forward", step)
    alive = [to.ask(kept, "input", "", "aten._to_copy", shape)]
    for name in names:
        alive.append(to.ask(kept, "activation", name, "aten.addmm", shape))
        to.free(to.ask(kept // 2, "temporary", name, "aten.relu", shape))
    to.mark("backward", step)
    gradients = []
    for name in reversed(names):
        passed = to.ask(kept, "temporary", name, "aten.mm", shape)
        gradients.append(to.ask(weight, "gradient", name, "aten.mm", (shape[1], shape[1])))
        to.free(alive.pop(), passed)
    to.mark("optimizer", step)
    if step == 0:
        for name in names:
            for _ in range(2):
                to.ask(weight, "optimizer_state", name, "aten.zeros_like", (shape[1], shape[1]))
    steps_taken = [to.ask(weight, "temporary", "", "aten._foreach_sqrt", (shape[1], shape[1])) for _ in names]
    to.free(*steps_taken, *gradients, *alive)


@st.composite
def random_traces(draw, longest=60):
    """Traces of any order: sizes from nothing to some MiB, every category, frees of what is alive, phases anywhere."""
    to = Writer()
    alive = []
    for _ in range(draw(st.integers(1, longest))):
        if draw(st.integers(0, 19)) == 0:
            to.mark(draw(st.sampled_from(["forward", "backward", "optimizer"])), draw(st.integers(-1, 2)))
        if alive and draw(st.booleans()):
            to.free(alive.pop(draw(st.integers(0, len(alive) - 1))))
        else:
            size = draw(st.sampled_from([1, 511, 512, 513, 100_000, MIB, MIB + 1, 3 * MIB, 11 * MIB, 25 * MIB + 7]))
            module = draw(st.sampled_from(["", "a", "a.b", "a.b.0", "a.c", "z"]))
            alive.append(to.ask(size, draw(st.sampled_from(CATEGORIES)), module))
    return to.trace()
