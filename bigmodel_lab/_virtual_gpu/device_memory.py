"""The memory of a simulated card, as a run asks about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from bigmodel_lab._virtual_gpu.card import VirtualGpu
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.device_memory import Peaks


class VirtualMemory:
    """Implements :class:`bigmodel_lab.training.device_memory.DeviceMemory`; every number is simulated.

    >>> VirtualMemory(VirtualGpu("2GiB")).in_use()
    Peaks(allocated_bytes=0, reserved_bytes=0)
    """

    def __init__(self, gpu: VirtualGpu) -> None:
        self._gpu = gpu

    def capacity_bytes(self) -> int | None:
        """What the allocator can get in all, within the cap."""
        card = self._gpu.card
        return min(card.usable_bytes(self._gpu.others_bytes), int(self._gpu.memory_fraction * card.total_bytes))

    def in_use(self) -> Peaks:
        """Now."""
        return Peaks(self._gpu.allocated_bytes, self._gpu.reserved_bytes)

    def peaks(self) -> Peaks:
        """Since the last reset."""
        return Peaks(self._gpu.peak_allocated_bytes, self._gpu.peak_reserved_bytes)

    def reset_peaks(self) -> None:
        """Count peaks from here."""
        self._gpu.reset_peaks()

    def alloc_retries(self) -> int:
        """As the allocator counts them."""
        return self._gpu.stats()["num_alloc_retries"]

    def empty_cache(self) -> None:
        """Give back to the card what no tensor uses."""
        self._gpu.empty_cache()

    def clear_workspaces(self) -> None:
        """As on a card."""
        self._gpu.clear_workspaces()

    def computes_here(self, *, trains: bool = False) -> None:
        """The card itself sees who multiplies matrices."""

    def computing_threads(self) -> int:
        """As the card has seen them."""
        return self._gpu.computing_threads

    def set_fraction(self, share: float | None) -> None:
        """A cap on the simulated allocator."""
        self._gpu.set_memory_fraction(1.0 if share is None else share)

    def set_expandable(self, on: bool) -> None:
        """Not while it is in use.

        Raises:
            ConfigError: The setting would have to change.
        """
        if on != self._gpu.expandable_segments:
            raise ConfigError(
                text(
                    "virtual_gpu.expandable",
                    "A simulated card cannot change its allocator while it is in use. Start the run with "
                    "expandable_segments={on}.",
                    on=on,
                )
            )

    def by_category(self) -> Mapping[str, int]:
        """Bytes in use by what they are for, the largest first."""
        trace = self._gpu.trace()
        alive: Counter[str] = Counter()
        for entry in trace.sequence:
            allocation = trace.allocations[entry if entry >= 0 else ~entry]
            alive[allocation.category] += allocation.bytes if entry >= 0 else -allocation.bytes
        return {category: size for category, size in alive.most_common() if size > 0}

    def host(self) -> AbstractContextManager[object]:
        """What the block makes does not lie on the card."""
        return self._gpu.host()

    def offloading(self) -> AbstractContextManager[object]:
        """What the backward pass needs is copied to the host, and counts on the card again once it is used."""
        return saved_tensors_hooks(self._to_host, _as_it_is)

    def _to_host(self, tensor: Tensor) -> Tensor:
        with self._gpu.host():
            return tensor.clone()


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
