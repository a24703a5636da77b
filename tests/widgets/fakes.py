"""Small stand-ins for a run and its mailbox."""

from __future__ import annotations

import itertools

import numpy as np

from bigmodel_lab.runlog.base import Block, Event, ProposalRecord, Reduced, Status, StreamHeader

START_NS = 5_000_000_000


class FakeRun:
    """A run in memory: rows are added by hand, and it counts what is asked of it."""

    def __init__(self, *, name="simple_cnn", origin="measured", status=Status.RUNNING, **header):
        self._header = {
            "run_id": "ab12",
            "name": name,
            "origin": origin,
            "started_wall_ns": 1_790_000_000_000_000_000,
            "started_monotonic_ns": START_NS,
            **header,
        }
        self.state = status
        self.tables = {}
        self.happened = []
        self.proposed = []
        self.reasons = {}
        self.lost_before = {}
        self.reads = []

    def add(self, stream, keys, values, *, axis="step", step=None, seconds=None):
        """Append rows; ``values`` has one row for each entry."""
        values = np.asarray(values, dtype=float).reshape(-1, len(keys))
        old = self.tables.get(stream)
        first = len(old[1]) if old else 0
        count = np.arange(first, first + len(values))
        step = count if step is None else np.asarray(step)
        ns = START_NS + (count * 1e7 if seconds is None else np.asarray(seconds) * 1e9).astype(np.int64)
        if old:
            values = np.vstack([_widen(old[3], len(keys)), values])
            step, ns = np.concatenate([old[1], step]), np.concatenate([old[2], ns])
        self.tables[stream] = (StreamHeader(stream, axis, tuple(keys)), step, ns, values)

    def happen(self, kind, seconds, **data):
        """Record an event."""
        ns = START_NS + int(seconds * 1e9)
        self.happened.append(Event(len(self.happened), kind, 0, 0, ns, data))

    def propose(self, tip, state="proposed", **data):
        """Record a proposal; its number."""
        number = len(self.proposed) + 1
        self.proposed.append(ProposalRecord(number, tip, state, 0, {"title": tip.upper(), **data}))
        return number

    def settle(self, number, state, **data):
        """Say what became of a proposal."""
        old = self.proposed[number - 1]
        self.proposed[number - 1] = ProposalRecord(number, old.tip, state, 0, {**old.data, **data})

    def header(self):
        """Facts."""
        return self._header

    def status(self):
        """Where it stands."""
        return self.state

    def streams(self):
        """Every stream."""
        return tuple(table[0] for table in self.tables.values())

    def count(self, stream):
        """Rows so far."""
        return len(self.tables[stream][1])

    def read(self, stream, start=0, limit=None):
        """Rows from an index on, and a note of the question."""
        start = max(start, self.lost_before.get(stream, 0))
        self.reads.append((stream, start, limit))
        _, step, ns, values = self.tables[stream]
        cut = slice(start, None if limit is None else start + limit)
        return Block(stream, start, step[cut], ns[cut], values[cut])

    def reduced(self, stream, buckets, start=0, stop=None):
        """Buckets of equal length."""
        _, step, ns, values = self.tables[stream]
        step, ns, values = step[start:stop], ns[start:stop], values[start:stop]
        width = max(1, -(-len(step) // buckets))
        at = np.arange(0, len(step), width)
        low = np.fmin.reduceat(values, at, axis=0) if len(at) else values
        high = np.fmax.reduceat(values, at, axis=0) if len(at) else values
        return Reduced(step[at], ns[at], low, high, width)

    def events(self, start=0):
        """Events from an index on."""
        return tuple(itertools.islice(self.happened, start, None))

    def proposals(self):
        """Every proposal as it stands."""
        return tuple(self.proposed)

    def unknown(self):
        """Reasons by metric."""
        return self.reasons


class FakeMailbox:
    """Records what was posted; runs jobs when told to."""

    def __init__(self):
        self.posted, self.numbers, self.jobs, self.inbound = [], [], [], None

    def post(self, name, source, **args):
        """Note a command, and the number of the proposal that it is about."""
        self.posted.append((name, source))
        self.numbers.append(args.get("id"))

    def call_soon(self, job):
        """Keep a job for the next boundary."""
        self.jobs.append(job)

    def prove_inbound(self, source):
        """Note the way in."""
        self.inbound = source

    def boundary(self):
        """What the loop does between two steps."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


def _widen(values, keys):
    return np.hstack([values, np.full((len(values), keys - values.shape[1]), np.nan)])


def full_run(rows=2000, **header):
    """A run with every kind of chart: dense, sparse, dashed, own numbers, and one that is unknown."""
    header = {"total_steps": rows, "steps_per_epoch": rows // 5, "epochs": 5, "device": "cuda:0 (H200)", **header}
    run = FakeRun(**header)
    noise = np.random.default_rng(0)
    n = np.arange(rows)
    loss = 2.3 * np.exp(-n / rows * 4) + 0.1 + 0.05 * noise.random(rows)
    loss[rows // 3] = 3.9
    accuracy = np.clip(1 - loss / 2.6, 0, 1)
    seconds = 0.012 + 0.003 * noise.random(rows)
    keys = ("loss", "accuracy", "step_seconds", "samples_per_second")
    run.add("step", keys, np.stack([loss, accuracy, seconds, 64 / seconds], 1))
    ends = (np.arange(5) + 1) * (rows // 5) - 1
    losses = 2.3 * np.exp(-ends / rows * 4) + 0.2
    epoch_keys = ("validation_loss", "validation_accuracy", "loss", "accuracy", "train/f1", "val/f1")
    rowset = np.stack([losses, 1 - losses / 2.7, losses, 1 - losses / 2.6, 1 - losses / 3, 1 - losses / 2.8], 1)
    run.add("epoch", epoch_keys, rowset, step=ends, seconds=ends * 0.01)
    samples = rows // 100
    t = np.arange(samples) * 1.0
    used = 2**30 * (3 + np.minimum(t, 4) + 0.2 * noise.random(samples))
    gpu = ("device_used_bytes", "device_total_bytes", "gpu_utilization_percent", "power_watts", "temperature_celsius")
    columns = [used, np.full(samples, 16 * 2**30), 60 + 40 * noise.random(samples), 200 + 50 * noise.random(samples)]
    run.add("nvml", gpu, np.stack([*columns, np.full(samples, np.nan)], 1), axis="time", step=t, seconds=t)
    run.add("host", ("process_resident_bytes",), 1e9 + 1e7 * t, axis="time", step=t, seconds=t)
    run.reasons = {"temperature_celsius": "The driver does not report a temperature in a virtual machine."}
    run.happen("started", 0)
    return run


GIB = 2**30
FULL = {
    "step": 3,
    "phase": "backward",
    "message": "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "requested_bytes": 2 * GIB,
    "allocated_bytes": 14 * GIB,
    "reserved_bytes": 15 * GIB,
    "capacity_bytes": 16 * GIB,
    "by_category": {"activation": 9 * GIB, "parameter": 3 * GIB},
    "waits": True,
    "action": "ask",
}
"""What an event tells of a step that ran out of memory and waits."""
