"""Which device a training uses, and why: the card with the most free memory that nobody else uses.

The choice is made before any CUDA context exists: the driver is asked through NVML, and
PyTorch only whether it can use CUDA at all.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.samplers import Card, CardProcess, CardTable, VisibleDevices, cuda_devices, read_cards
from bigmodel_lab.units import format_bytes


@dataclass(frozen=True)
class DeviceChoice:
    """The device to train on."""

    device: str
    """As PyTorch writes it: ``"cuda:0"``, ``"mps"``, ``"cpu"``."""
    reason: str
    """Why this one and not another, in words for a person."""
    gpu_uuid: str | None = None
    """The driver's name of the card, ``"GPU-…"`` or ``"MIG-…"``; None when it is none or not known."""
    capability: tuple[int, int] | None = None
    """Compute capability of a card that is simulated while the CPU computes; None of every real device."""


@dataclass(frozen=True)
class Pick:
    """What :func:`pick` decided."""

    index: int | None
    """PyTorch's number of the card; None when no card is free."""
    reason: str
    """Why this card, and why not the others."""


@dataclass(frozen=True)
class Torch:
    """What this PyTorch can use here."""

    cuda_cards: int
    """Cards that CUDA shows; 0 when it cannot be used."""
    mps: bool
    """The GPU of an Apple computer can be used."""
    without_cuda: str
    """Why CUDA cannot be used; empty when it can."""
    cuda_in_use: bool = False
    """This process has used CUDA before."""


def choose_device(request: str = "auto") -> DeviceChoice:
    """The device to train on; creates no CUDA context.

    ``"auto"`` takes the visible CUDA card with the most free memory on which no other process
    computes, and shares the freest one when others compute on all; without such a card, the
    GPU of an Apple computer; else the CPU. ``"cuda"`` does the same among the CUDA cards only.

    Args:
        request: ``"auto"``, ``"cuda"``, ``"cuda:1"`` (PyTorch's number), ``"mps"`` or ``"cpu"``.

    Raises:
        ConfigError: The device does not exist here; the message lists those that do.

    >>> choose_device("cpu").device
    'cpu'
    """
    if request == "cpu":
        return DeviceChoice("cpu", text("device.cpu_asked", "The CPU, as asked for."))
    torch = _ask_torch()
    table = without_own(read_cards()) if torch.cuda_in_use else read_cards()
    if request == "auto":
        return _automatic(torch, table)
    if request == "mps" and torch.mps:
        return DeviceChoice("mps", text("device.mps_asked", "The GPU of this Apple computer, as asked for."))
    wanted = re.fullmatch(r"cuda(?::(\d+))?", request) if isinstance(request, str) else None
    if wanted is None or torch.cuda_cards == 0:
        raise _cannot_have(request, torch)
    return _best(table) if wanted[1] is None else _numbered(int(wanted[1]), torch, table)


def pick(cards: Sequence[Card], visible: Sequence[str], own_pid: int | None = None) -> Pick:
    """The visible card with the most free memory on which no other process computes.

    When others compute on every card, the one with the most free memory is shared. A pure
    function of the facts, so every case can be tested without a card.

    Args:
        cards: All cards of the machine.
        visible: UUIDs of those that this process may see, in PyTorch's order.
        own_pid: Processes with this number do not count as others; None is this process.

    >>> cards = [Card(0, "GPU-a", "T4", device_free_bytes=2**30), Card(1, "GPU-b", "T4", device_free_bytes=2**33)]
    >>> pick(cards, ["GPU-b", "GPU-a"]).index
    0
    """
    own_pid = os.getpid() if own_pid is None else own_pid
    known = {card.uuid: card for card in cards}
    # A MIG instance is not among the physical cards: nothing is known about it.
    seen = [known.get(uuid, Card(-1, uuid, uuid)) for uuid in visible]
    free = [i for i, card in enumerate(seen) if not _foreign(card, own_pid)]
    candidates = free or range(len(seen))
    # max keeps the first of equals; an unknown amount counts as none.
    index: int | None = max(candidates, key=lambda i: seen[i].device_free_bytes or 0, default=None)
    others = [_why_not(i, card, own_pid) for i, card in enumerate(seen) if i != index]
    taken = [] if index is None else [_why(index, seen[index], own_pid)]
    return Pick(index, " ".join([*taken, *others]))


def without_own(table: CardTable) -> CardTable:
    """The table without processes that cannot be seen from here.

    In a container the driver may tell process numbers of the machine outside, so a process
    that has used the card before finds itself there as a stranger. Better to share with a
    real stranger than to drive oneself from one's own card.
    """
    cards = (
        replace(card, processes=tuple(p for p in card.processes if p.user is not None)) if card.processes else card
        for card in table.cards
    )
    return replace(table, cards=tuple(cards))


def _foreign(card: Card, own_pid: int) -> list[CardProcess]:
    return [process for process in card.processes or () if process.pid != own_pid]


def _title(index: int, card: Card) -> str:
    return text("device.title", "cuda:{index} ({name})", index=index, name=card.name)


def _why(index: int, card: Card, own_pid: int) -> str:
    values = {"title": _title(index, card), "free": format_bytes(card.device_free_bytes)}
    others = _foreign(card, own_pid)
    if others:
        return text(
            "device.taken_shared",
            "{title}: {free} free, shared with {others}.",
            others=_names(others),
            **values,
        )
    if card.processes is None:
        return text("device.taken_unknown", "{title}: {free} free; the driver does not tell who uses it.", **values)
    return text("device.taken", "{title}: {free} free, nobody else computes on it.", **values)


def _why_not(index: int, card: Card, own_pid: int) -> str:
    others = _foreign(card, own_pid)
    title = _title(index, card)
    if others:
        return text("device.busy", "Not {title}: {others} computes on it.", title=title, others=_names(others))
    free = format_bytes(card.device_free_bytes)
    return text("device.less_free", "Not {title}: {free} free.", title=title, free=free)


def _names(processes: Sequence[CardProcess]) -> str:
    """The first process with its user, and how many more there are."""
    first = processes[0]
    name = text("device.process", "process {pid} ({user})", pid=first.pid, user=first.user or "–")
    more = len(processes) - 1
    return text("device.and_more", "{name} and {more} more", name=name, more=more) if more else name


def _automatic(torch: Torch, table: CardTable) -> DeviceChoice:
    refused = torch.without_cuda
    if torch.cuda_cards:
        best = _best(table)
        if best.device != "cpu":
            return best
        refused = best.reason
    elif table.cards:
        names = ", ".join(card.title() for card in table.cards)
        refused = text("device.cards_unused", "{names}: {why}", names=names, why=refused)
    if torch.mps:
        return DeviceChoice("mps", text("device.mps", "The GPU of this Apple computer."))
    return DeviceChoice("cpu", text("device.cpu", "The CPU. {refused}", refused=refused))


def _best(table: CardTable) -> DeviceChoice:
    """The best CUDA card; ``"cpu"`` when none can be used."""
    visible = cuda_devices()
    if not visible.uuids:  # PyTorch can use CUDA, but the driver tells nothing: as on AMD cards
        return DeviceChoice("cuda:0", text("device.cuda_blind", "The first GPU. {why}", why=visible.reason))
    choice = pick(table.cards, visible.uuids)
    if choice.index is None:
        return DeviceChoice("cpu", choice.reason)
    return DeviceChoice(
        f"cuda:{choice.index}", f"{choice.reason} {visible.doubt}".rstrip(), visible.uuids[choice.index]
    )


def _numbered(index: int, torch: Torch, table: CardTable) -> DeviceChoice:
    if index >= torch.cuda_cards:
        raise _cannot_have(f"cuda:{index}", torch)
    visible = cuda_devices()
    uuid = visible.uuids[index] if index < len(visible.uuids) else None
    return DeviceChoice(f"cuda:{index}", _as_asked(index, uuid, table, visible), uuid)


def _as_asked(index: int, uuid: str | None, table: CardTable, visible: VisibleDevices) -> str:
    card = next((card for card in table.cards if card.uuid == uuid), None)
    if card is None:
        return text(
            "device.cuda_asked", "cuda:{index}, as asked for. {doubt}", index=index, doubt=visible.doubt
        ).rstrip()
    why = _why(index, card, os.getpid())
    return text("device.card_asked", "As asked for: {why} {doubt}", why=why, doubt=visible.doubt).rstrip()


def _cannot_have(request: object, torch: Torch) -> ConfigError:
    exist = [*(f"cuda:{i}" for i in range(torch.cuda_cards)), *(["mps"] if torch.mps else []), "cpu"]
    return ConfigError(
        text(
            "device.cannot_have",
            "device={request!r} does not exist here. These do: {exist}; 'auto' takes the best of them. {why}",
            request=request,
            exist=", ".join(exist),
            why=torch.without_cuda,
        ).rstrip()
    )


def _ask_torch() -> Torch:
    """What PyTorch can use. ``is_available`` starts the CUDA driver library, and no context."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        # PyTorch warns, and says no, when the driver is too old for it.
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if cards:
        in_use = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # untyped in PyTorch
        return Torch(cards, mps, "", cuda_in_use=in_use)
    return Torch(0, mps, _why_without_cuda(torch.__version__, torch.version.cuda, [str(w.message) for w in said]))


def _why_without_cuda(version: str, cuda: str | None, warned: Sequence[str]) -> str:
    if cuda is None:
        return text(
            "device.cpu_build",
            "This PyTorch ({version}) is built without CUDA, so it cannot use an NVIDIA card. "
            "Builds with CUDA: https://pytorch.org/get-started/locally/",
            version=version,
        )
    if warned:
        return text("device.torch_says", "PyTorch says: {warning}", warning=warned[0])
    return cuda_devices().reason or text("device.no_cuda", "PyTorch finds no card that it can use.")
