"""What every recorded number means: its key, unit, label and explanation.

A metric of the person's own (``w.log(my_score=0.3)``) needs no entry here; it gets one
from :func:`describe`, without a unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.i18n import Text


@dataclass(frozen=True)
class Metric:
    """One number that is recorded over time."""

    key: str
    """Name in the run file, unit last, e.g. ``"device_used_bytes"``."""
    unit: str
    """Unit as :func:`bigmodel_lab.units.format_value` takes it; ``""`` for a plain number."""
    label: Text
    """Short name for legends and tiles."""
    meaning: Text
    """The answer to "what is this?", one or two sentences."""


def _metric(key: str, unit: str, label: str, meaning: str) -> Metric:
    return Metric(key, unit, Text(f"metric.{key}.label", label), Text(f"metric.{key}.meaning", meaning))


_KNOWN = {
    m.key: m
    for m in (
        # of a training step
        _metric(
            "loss",
            "",
            "train loss",
            "What the optimizer makes smaller: the error of the model on the batch of this step. "
            "Single batches differ, so the line is noisy; its trend counts.",
        ),
        _metric(
            "accuracy",
            "fraction",
            "train accuracy",
            "Share of the samples in this step's batch that the model classified correctly, "
            "measured before the step changed the weights.",
        ),
        _metric(
            "step_seconds",
            "seconds",
            "step time",
            "Time for one optimizer step: fetch the batch, forward, backward, update. On a GPU this is "
            "the time until the work is queued; once the queue is full it equals the time the GPU takes.",
        ),
        _metric(
            "samples_per_second",
            "samples/s",
            "throughput",
            "Samples of this step divided by its time.",
        ),
        _metric(
            "data_wait_share",
            "fraction",
            "waiting for data",
            "Share of the step's time in which the loop waited for its batch. On a GPU that is still busy "
            "with earlier steps not all of it is lost.",
        ),
        _metric(
            "learning_rate",
            "",
            "learning rate",
            "Step width of the optimizer at this step, where a schedule or a warm-up changes it.",
        ),
        # of an epoch
        _metric(
            "validation_loss",
            "",
            "validation loss",
            "The same loss on data that the model is not trained on, once an epoch. When it rises "
            "while the train loss falls, the model is over-fitting.",
        ),
        _metric(
            "validation_accuracy",
            "fraction",
            "validation accuracy",
            "Share of the validation samples that the model classifies correctly, once an epoch.",
        ),
        # of the GPU, from the driver (NVML)
        _metric(
            "gpu_utilization_percent",
            "percent",
            "GPU utilization",
            "Share of the last sample period (1/6 to 1 s) in which at least one kernel ran on the GPU. "
            "100 % does not mean that the GPU is full, only that it was never idle.",
        ),
        _metric(
            "device_used_bytes",
            "bytes",
            "device used",
            "Memory in use on the whole card, by every process together, as the driver sees it.",
        ),
        _metric(
            "device_total_bytes",
            "bytes",
            "device total",
            "Memory of the whole card, as the driver reports it.",
        ),
        _metric("power_watts", "watts", "power", "Electrical power that the whole card draws now."),
        _metric("temperature_celsius", "celsius", "temperature", "Temperature of the GPU chip."),
        _metric(
            "energy_joules",
            "joules",
            "energy",
            "Energy that the whole card has used since the run began, from the driver's counter.",
        ),
        _metric("sm_clock_megahertz", "megahertz", "SM clock", "Clock of the multiprocessors now."),
        _metric("memory_clock_megahertz", "megahertz", "memory clock", "Clock of the card's memory now."),
        _metric(
            "process_device_bytes",
            "bytes",
            "this process on the device",
            "Memory of the card that the driver counts for this process: the CUDA context, libraries, "
            "and everything PyTorch has reserved.",
        ),
        # of this process's CUDA caching allocator
        _metric(
            "allocated_bytes",
            "bytes",
            "allocated",
            "GPU memory that live tensors of this process occupy, as PyTorch's caching allocator counts it.",
        ),
        _metric(
            "reserved_bytes",
            "bytes",
            "reserved",
            "GPU memory that PyTorch's caching allocator has taken from the card: allocated plus what it "
            "keeps for the next tensors.",
        ),
        _metric(
            "peak_allocated_bytes",
            "bytes",
            "peak allocated",
            "Highest allocated memory of this process since its counters were last reset.",
        ),
        _metric(
            "peak_reserved_bytes",
            "bytes",
            "peak reserved",
            "Highest reserved memory of this process since its counters were last reset.",
        ),
        # of the host
        _metric(
            "process_resident_bytes",
            "bytes",
            "this process",
            "Main memory that this Python process occupies (resident set size).",
        ),
        _metric(
            "host_available_bytes",
            "bytes",
            "available",
            "Main memory that programs can still get on this machine, or in this container, without swapping.",
        ),
        _metric(
            "process_cpu_percent",
            "percent",
            "this process",
            "CPU time of this process per second; 100 % is one core fully used.",
        ),
        _metric(
            "host_cpu_percent",
            "percent",
            "whole machine",
            "CPU time of all processes of the machine per second; 100 % is one core fully used.",
        ),
    )
}


def known() -> tuple[Metric, ...]:
    """Every metric that the library itself records."""
    return tuple(_KNOWN.values())


def describe(key: str) -> Metric:
    """The metric with this key; for an unknown key one without a unit, labelled with the key.

    >>> describe("allocated_bytes").unit, describe("my_score").unit
    ('bytes', '')
    """
    if key in _KNOWN:
        return _KNOWN[key]
    meaning = Text("metric.own.meaning", "A number that your own code recorded under this name.")
    return Metric(key, "", Text(f"metric.own.{key}", key), meaning)


def validation_key(key: str) -> str:
    """The key under which a validation metric of another library is recorded here.

    >>> [validation_key(k) for k in ("val_loss", "eval_loss", "val/acc", "validation_f1")]
    ['validation_loss', 'validation_loss', 'validation_accuracy', 'validation_f1']
    """
    for prefix in ("validation", "valid", "val", "eval"):
        if key.startswith(prefix) and len(key) > len(prefix) and key[len(prefix)] in "_/":
            name = key[len(prefix) + 1 :]
            return f"validation_{'accuracy' if name == 'acc' else name}"
    return key
