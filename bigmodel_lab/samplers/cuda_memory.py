"""Memory of this process as PyTorch's CUDA caching allocator counts it.

PyTorch is read through ``sys.modules``: it is never imported here, CUDA is never
initialised, and no peak counter is reset.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.samplers._nvml import Nvml
from bigmodel_lab.samplers._visible import visible_devices
from bigmodel_lab.samplers.base import Sample

_NOT_IMPORTED = Text("cuda_memory.not_imported", "PyTorch is not imported in this process.")
_NOT_INITIALISED = Text("cuda_memory.not_initialised", "PyTorch has not used a GPU in this process.")

_PLACE = {
    "allocated_bytes": ("allocated_bytes", "current"),
    "reserved_bytes": ("reserved_bytes", "current"),
    "peak_allocated_bytes": ("allocated_bytes", "peak"),
    "peak_reserved_bytes": ("reserved_bytes", "peak"),
}
"""Where each value lies in the allocator's statistics, inside of ``[…]["all"][…]``."""


class CudaMemorySampler:
    """The caching allocator's four numbers for one card.

    One call to ``torch.cuda.memory_stats_as_nested_dict`` fetches them all. The better known
    ``memory_allocated`` and its three sisters each make that same call and then flatten and
    sort all of it.

    >>> sampler = CudaMemorySampler()
    >>> sorted(sampler.sample().values)
    ['allocated_bytes', 'peak_allocated_bytes', 'peak_reserved_bytes', 'reserved_bytes']
    """

    name = "cuda_memory"
    keys: tuple[str, ...] = tuple(_PLACE)

    def __init__(self, gpu_uuid: str | None = None) -> None:
        """Args: ``gpu_uuid``: the card; None is cuda:0, the first that this process may see."""
        self._uuid = gpu_uuid
        self._index: int | None = None if gpu_uuid else 0
        self._hidden = ""

    def sample(self) -> Sample:
        """Read the four numbers now; unknown before PyTorch has used a GPU."""
        cuda = _cuda_in_use()
        if isinstance(cuda, str):
            return self._unknown(cuda)
        index = self._torch_index()
        if index is None:
            return self._unknown(self._hidden)
        try:
            stats: Mapping[str, Any] = cuda.memory_stats_as_nested_dict(index)
        except RuntimeError as error:  # an earlier CUDA error makes every later call fail with it
            return self._unknown(text("cuda_memory.failed", "PyTorch could not tell: {error}", error=error))
        if not stats:
            return self._unknown(str(_NOT_INITIALISED))
        values = {key: stats[group]["all"][which] for key, (group, which) in _PLACE.items()}
        return Sample(time.monotonic_ns(), values)

    def close(self) -> None:
        """Holds nothing."""

    def _torch_index(self) -> int | None:
        """PyTorch's number of the card. CUDA runs by now, so its order is certain and stays."""
        if self._index is None and self._uuid is not None and not self._hidden:
            nvml = Nvml()
            self._index = visible_devices(nvml).index(self._uuid)
            nvml.close()
            if self._index is None:
                self._hidden = text("cuda_memory.hidden", "This process may not see the card {uuid}.", uuid=self._uuid)
        return self._index

    def _unknown(self, reason: str) -> Sample:
        return Sample(time.monotonic_ns(), dict.fromkeys(self.keys), dict.fromkeys(self.keys, reason))


def _cuda_in_use() -> Any:
    """``torch.cuda`` once it is initialised, before that the reason as text."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    # While the import is under way the module lies in sys.modules without its functions.
    if cuda is None or not hasattr(cuda, "memory_stats_as_nested_dict"):
        return str(_NOT_IMPORTED)
    return cuda if cuda.is_initialized() else str(_NOT_INITIALISED)


SAMPLER = CudaMemorySampler
