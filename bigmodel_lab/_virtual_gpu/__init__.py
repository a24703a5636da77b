"""A simulated card under code that really runs on the CPU; see :mod:`.card`."""

from __future__ import annotations

from bigmodel_lab._virtual_gpu.card import VirtualGpu
from bigmodel_lab._virtual_gpu.sampler import VirtualGpuSampler

__all__ = ["VirtualGpu", "VirtualGpuSampler"]
