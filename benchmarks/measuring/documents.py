"""One documented model, trained with several seeds on one division of its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

import bigmodel_lab as lab
from bigmodel_lab.data import Data, load_data
from bigmodel_lab.data.base import Split
from bigmodel_lab.errors import DataError, MissingPackageError
from bigmodel_lab.models import MODELS
from bigmodel_lab.training.intervals import mean_interval

_GENERATED = 60_000


@dataclass(frozen=True)
class Result:
    """What a model reached."""

    model: str
    """Name of the model."""
    data: str
    """Name of the data."""
    measure: str
    """``"accuracy"`` where there are classes or tokens, else ``"loss"``; of the test samples, or where the data
    has none of the training samples."""
    values: tuple[float, ...]
    """One value a seed."""
    losses: tuple[float, ...]
    """Loss of the same samples, one a seed."""
    epochs: int
    """Passes over the training samples."""
    seconds: float
    """Wall clock of one run, validation included; the median."""
    samples_per_second: float
    """Training samples a second of a step; the median over steps and seeds."""
    sha256: str | None
    """Digest of a corpus that was made on this machine."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean_interval(self.values).mean

    @property
    def half_width(self) -> float | None:
        """Half of the 95 % t-interval of the mean; None with one seed."""
        return None if len(self.values) < 2 else mean_interval(self.values).half_width


def measure(name: str, data: Data | None = None, *, seeds: int, **settings: Any) -> Result:
    """Train a model at its documented setting.

    Args:
        name: Of a documented model.
        data: Other data than its own; divided already, so that all seeds see the same samples.
        seeds: Trainings, with the seeds 0, 1, 2 …
        settings: For :func:`bigmodel_lab.fit`, instead of what is documented.
    """
    loaded = data or load_data(MODELS.get(name).data, seed=0)
    with TemporaryDirectory() as folder:
        trained = [_train(name, loaded, seed, folder, settings) for seed in range(seeds)]
    accuracies, losses, seconds, rates = zip(*trained, strict=True)
    counted = accuracies[0] is not None
    return Result(
        model=name,
        data=loaded.name,
        measure="accuracy" if counted else "loss",
        values=accuracies if counted else losses,
        losses=losses,
        epochs=settings.get("epochs", MODELS.get(name).defaults.epochs),
        seconds=median(seconds),
        samples_per_second=median(rates),
        sha256=loaded.sha256,
    )


def _train(
    name: str, data: Data, seed: int, folder: str, settings: dict[str, Any]
) -> tuple[float | None, float, float, float]:
    began = perf_counter()
    run = lab.fit(name, data, seed=seed, runs_dir=folder, **settings)
    seconds = perf_counter() - began
    reached = run.evaluate("test" if len(data.test) else "train")
    rate = float(median(run.series("samples_per_second").value))
    return reached.accuracy, reached.loss, seconds, rate


def mnist() -> tuple[Data | None, str]:
    """MNIST where it is found; else None and why not."""
    try:
        return load_data(os.environ.get("BIGMODEL_LAB_MNIST") or "mnist"), ""
    except (DataError, MissingPackageError) as error:
        return None, str(error)


def generated_images() -> Data | None:
    """60,000 images of noise in MNIST's shape, for throughput; None where there is no CUDA device."""
    if not torch.cuda.is_available():
        return None
    numbers = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (_GENERATED, 1, 28, 28), dtype=torch.uint8, generator=numbers)
    everything = Split(x, torch.arange(_GENERATED) % 10)
    nothing = everything.select(torch.arange(0))
    return Data("generated images", "Noise, for throughput.", everything, nothing, nothing, scale=1 / 255, classes=10)
