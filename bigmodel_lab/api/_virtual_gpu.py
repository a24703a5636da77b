"""``virtual_gpu``: a simulated card for code of one's own, and for the runs of ``fit``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from bigmodel_lab._virtual_gpu import VirtualGpu
from bigmodel_lab._virtual_gpu.device_memory import VirtualMemory
from bigmodel_lab.api._card_facts import card_facts
from bigmodel_lab.api._fits_here import held_by_others
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card, card_at_hand
from bigmodel_lab.samplers import Card as CardAtHand
from bigmodel_lab.samplers import cuda_devices, read_cards
from bigmodel_lab.tips.base import OtherCard
from bigmodel_lab.training import DeviceChoice, choose_device
from bigmodel_lab.training.device_memory import DeviceMemory, memory_of
from bigmodel_lab.training.stepper import Stepper
from bigmodel_lab.units import format_bytes

_PREFIX = "virtual:"


def virtual_gpu(card: str | Card, *, others: int | str = 0, alloc_conf: str = "") -> VirtualGpu:
    """A card that exists only in numbers: the code inside its ``with`` block runs on the CPU, as if it ran there.

    Tensors that the block makes or uses are charged to the card through CUDA's caching allocator, simulated, so leaks
    grow on it, and the very request that does not fit raises ``torch.OutOfMemoryError`` in CUDA's words. What it
    shows is simulated: it proves how a program treats memory, not to the byte what a real card would say.

    Args:
        card: Name of a card, e.g. ``"T4"`` or ``"A100-80"``; a size, e.g. ``"2GiB"``; or a card.
        others: What other processes hold on it, in bytes or with a unit, e.g. ``"3GiB"``.
        alloc_conf: As the environment variable PYTORCH_ALLOC_CONF has it; empty for PyTorch's defaults.

    Raises:
        UnknownNameError: There is no such card.
        ConfigError: A size or ``alloc_conf`` is not understood.

    >>> import torch, bigmodel_lab as lab
    >>> with lab.virtual_gpu("2GiB") as gpu:
    ...     kept = [torch.zeros(512, 1024) for _ in range(4)]
    >>> gpu.allocated_bytes
    8388608

    A request that does not fit, while the program goes on with a smaller one:

    >>> with lab.virtual_gpu("2GiB") as gpu:
    ...     try:
    ...         torch.empty(2**30)
    ...     except torch.OutOfMemoryError as error:
    ...         print(str(error)[:56])
    ...     smaller = torch.empty(2**20)
    CUDA out of memory. Tried to allocate 4.00 GiB. GPU 0 ha
    """
    return VirtualGpu(card, others=others, alloc_conf=alloc_conf)


@dataclass(frozen=True)
class Place:
    """Where a run computes."""

    choice: DeviceChoice
    """The device of PyTorch, and why this one."""
    gpu: VirtualGpu | None = None
    """The card whose memory is simulated meanwhile; None when nothing is."""

    @property
    def origin(self) -> str:
        """Of the run's numbers: ``"measured"`` or ``"simulated"``."""
        return "measured" if self.gpu is None else "simulated"

    @property
    def facts(self) -> dict[str, Any]:
        """For the run's header: the card, real or simulated; empty where there is none."""
        if self.gpu is None:
            return card_facts(self.choice.gpu_uuid)
        card = self.gpu.card
        facts = {"name": card.name, "total_bytes": card.total_bytes, "context_bytes": card.context_bytes}
        return {"virtual_gpu": facts}

    @property
    def memory(self) -> DeviceMemory:
        """Of the device, real or simulated."""
        return memory_of(self.choice.device) if self.gpu is None else VirtualMemory(self.gpu)

    @property
    def has_card(self) -> bool:
        """The memory of a card is in use, real or simulated."""
        return self.gpu is not None or torch.device(self.choice.device).type == "cuda"

    def card(self) -> Card | None:
        """The card; None where there is none."""
        if self.gpu is not None:
            return self.gpu.card
        if not self.has_card:
            return None
        name, total = torch.cuda.get_device_name(self.choice.device), torch.cuda.mem_get_info(self.choice.device)[1]
        return card_at_hand(name, total, by_cuda=True)

    def others_bytes(self) -> int:
        """What other processes hold on the card; 0 where that is unknown."""
        if self.gpu is not None:
            return self.gpu.others_bytes
        mine = next((one for one in self._at_hand() if one.uuid == self.choice.gpu_uuid), None)
        return (held_by_others(mine) or 0) if mine is not None else 0

    def other_cards(self) -> tuple[OtherCard, ...]:
        """Other cards of the machine that this process may see and on which nobody computes."""
        visible = cuda_devices().uuids if self.has_card and self.gpu is None else ()
        return tuple(
            OtherCard(visible.index(one.uuid), one.name, one.device_free_bytes or 0)
            for one in self._at_hand()
            if one.uuid in visible and one.uuid != self.choice.gpu_uuid and not one.processes
        )

    def _at_hand(self) -> tuple[CardAtHand, ...]:
        return read_cards().cards if self.has_card and self.gpu is None else ()

    def in_use(self) -> AbstractContextManager[object]:
        """What the block does is charged to the card."""
        return nullcontext() if self.gpu is None else self.gpu

    def take(self, trainer: Stepper) -> None:
        """Put onto the card what a trainer moves to its device.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        if self.gpu is not None:
            splits = [trainer.data.splits[part] for part in ("train", "validation")]
            self.gpu.adopt(trainer.model, trainer.optimizer, [(split.x, split.y) for split in splits])


def place_for(request: str, *, expandable_segments: bool = False) -> Place:
    """Where to compute.

    Args:
        request: As for :func:`bigmodel_lab.training.choose_device`, or ``"virtual:"`` before a card or a size.
        expandable_segments: Of a simulated card's allocator, which has them from the beginning or never.

    Raises:
        ConfigError: The device does not exist here.
        UnknownNameError: There is no such card.

    >>> place_for("virtual:T4").choice.device, place_for("cpu").origin
    ('cpu', 'measured')
    """
    if not request.startswith(_PREFIX):
        return Place(choose_device(request))
    settings = "expandable_segments:True" if expandable_segments else ""
    gpu = VirtualGpu(request.removeprefix(_PREFIX), alloc_conf=settings)
    reason = text(
        "device.virtual",
        "The CPU; the memory of a {name} ({total}) is simulated.",
        name=gpu.card.name,
        total=format_bytes(gpu.card.total_bytes),
    )
    return Place(DeviceChoice("cpu", reason, capability=gpu.card.capability), gpu)
