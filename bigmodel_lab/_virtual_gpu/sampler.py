"""A virtual card's memory as the metrics of a real one, for the live charts."""

from __future__ import annotations

import time

from bigmodel_lab._virtual_gpu.card import VirtualGpu
from bigmodel_lab.samplers import Sample


class VirtualGpuSampler:
    """Stands in for the samplers of the driver and of CUDA's allocator; every value is simulated.

    >>> VirtualGpuSampler(VirtualGpu("T4")).sample().values["allocated_bytes"]
    0
    """

    name = "virtual_gpu"
    keys: tuple[str, ...] = (
        "allocated_bytes",
        "reserved_bytes",
        "peak_allocated_bytes",
        "peak_reserved_bytes",
        "device_used_bytes",
        "device_total_bytes",
        "process_device_bytes",
    )

    def __init__(self, gpu: VirtualGpu) -> None:
        self._gpu = gpu

    def sample(self) -> Sample:
        """The numbers of this moment; safe on any thread."""
        gpu = self._gpu
        values = {
            "allocated_bytes": gpu.allocated_bytes,
            "reserved_bytes": gpu.reserved_bytes,
            "peak_allocated_bytes": gpu.peak_allocated_bytes,
            "peak_reserved_bytes": gpu.peak_reserved_bytes,
            "device_used_bytes": gpu.device_used_bytes,
            "device_total_bytes": gpu.card.total_bytes,
            "process_device_bytes": gpu.process_device_bytes,
        }
        return Sample(time.monotonic_ns(), values)

    def close(self) -> None:
        """Holds nothing."""
