"""What a change of the settings would do to the memory: each change is traced once, then remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bigmodel_lab.errors import BigModelLabError, TraceError
from bigmodel_lab.estimate import MemoryEstimate
from bigmodel_lab.estimate._of_run import plan_settings
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.tips._effects import SPREAD, MemoryEffect
from bigmodel_lab.tips._facts import MemoryFacts
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.changing import changed


@dataclass(frozen=True)
class Peak:
    """A predicted peak."""

    allocated_bytes: int
    """Of live tensors."""
    least_reserved_bytes: int
    """Least that the caching allocator is expected to hold."""
    most_reserved_bytes: int
    """Most that it is expected to hold."""


class Predictor:
    """Estimates a run again with other settings.

    Whatever lies on the card besides (the samples, what the program keeps) is in all numbers.

    >>> from bigmodel_lab.estimate import estimate_memory
    >>> predictor = Predictor(estimate_memory("mlp", gpu="T4"), TrainConfig())
    >>> predictor.peak(micro_batch_size=1).allocated_bytes < predictor.peak().allocated_bytes
    True
    """

    def __init__(
        self,
        estimate: MemoryEstimate,
        config: TrainConfig,
        *,
        resident_bytes: int = 0,
        measured: MemoryFacts | None = None,
    ) -> None:
        """Start from an estimate of the present settings.

        Args:
            estimate: Of these very settings.
            config: The settings.
            resident_bytes: What lies on the card besides, from beginning to end.
            measured: The present peak as it was measured; predictions go on from it. None goes by the estimate alone.
        """
        self.estimate = estimate
        """Of the present settings."""
        self._config = config
        self._known = {self._key(config): estimate}
        self._rest_bytes = resident_bytes
        self._before_bytes = estimate.peak_allocated_bytes + resident_bytes
        if measured is not None:
            self._before_bytes = measured.peak_allocated_bytes
            self._rest_bytes = max(0, measured.peak_allocated_bytes - estimate.peak_allocated_bytes)

    def at(self, **change: Any) -> MemoryEstimate:
        """The estimate with these fields of the settings changed; traced at the first call.

        Args:
            change: Fields of :class:`TrainConfig`. A smaller micro-batch keeps the samples of a step.

        Raises:
            TraceError: The changed step cannot be followed without data.
        """
        config = self.changed(**change)
        key = self._key(config)
        if key not in self._known:
            self._known[key] = self._traced(config)
        return self._known[key]

    def peak(self, **change: Any) -> Peak:
        """The predicted peak with these fields of the settings changed."""
        estimate = self.at(**change)
        least, most = estimate.reserved_range
        rest = self._rest_bytes
        return Peak(estimate.peak_allocated_bytes + rest, least + rest, most + rest)

    def effect(self, **change: Any) -> MemoryEffect | None:
        """The predicted peak before and after; None where the changed step cannot be followed."""
        try:
            after = self.peak(**change).allocated_bytes
        except BigModelLabError:
            return None
        spread = round(SPREAD * max(after, abs(after - self._before_bytes)))
        return MemoryEffect(self._before_bytes, after, after - spread, after + spread)

    def runs_in(self, capacity_bytes: int, **change: Any) -> bool:
        """The step runs in this memory with these fields of the settings changed.

        Args:
            capacity_bytes: What the caching allocator can get in all.
            change: Fields of the settings.
        """
        return self.at(**change).runs_in(max(0, capacity_bytes - self._rest_bytes))

    def largest_micro_batch(self, capacity_bytes: int, **change: Any) -> int:
        """The largest micro-batch that runs in this memory, added up to the samples of a step; 0 where not even one does.

        Args:
            capacity_bytes: What the caching allocator can get in all.
            change: Further fields of the settings, e.g. ``precision="bf16"``.
        """
        whole = self._config.effective_batch_size
        if self._config.micro_batch_size < whole and self.runs_in(
            capacity_bytes, **{**change, "micro_batch_size": whole}
        ):
            return whole
        # Of several micro-batches the later ones run beside the gradients of the first.
        accumulated = self.at(**{**change, "micro_batch_size": -(-whole // 2)}) if whole > 1 else self.at(**change)
        return accumulated.max_micro_batch_in(max(0, capacity_bytes - self._rest_bytes))

    def changed(self, **change: Any) -> TrainConfig:
        """The settings with these fields changed; a new micro-batch keeps the samples of a step.

        Raises:
            ConfigError: They cannot be used together.
        """
        return changed(self._config, change)

    def _traced(self, config: TrainConfig) -> MemoryEstimate:
        settings = self.estimate.settings
        if config.expandable_segments != self._config.expandable_segments:
            settings = AllocatorSettings.parse("expandable_segments:True" if config.expandable_segments else "")
        new = {
            name: value
            for name, value in plan_settings(config).items()
            if value
            != plan_settings(self._config)[name]  # what stays may be more than settings can say: an 8-bit optimizer
        }
        try:
            return replace(self.estimate, settings=settings).again(**new)
        except TraceError as error:
            raise TraceError(_cannot(new, error)) from error
        except BigModelLabError:
            raise
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise TraceError(_cannot(new, error)) from error  # the person's model need not run at every size

    @staticmethod
    def _key(config: TrainConfig) -> str:
        return f"{plan_settings(config)}{config.expandable_segments}"


def _cannot(changed: Mapping[str, Any], error: Exception) -> str:
    return text(
        "error.tip_trace",
        "The step cannot be followed with {changed}: {kind}: {error}",
        changed=", ".join(f"{name}={value!r}" for name, value in changed.items()),
        kind=type(error).__name__,
        error=error,
    )
