"""Which cards this process may see, and which number PyTorch gives to each.

NVML lists every card of the machine in the order of the PCI bus; CUDA shows those that
``CUDA_VISIBLE_DEVICES`` names, in an order of its own. Only UUIDs mean the same to both.

The CUDA driver library is the authority, and asking it creates no context. But its
``cuInit`` must not be called by the way: a process that forks after it cannot use CUDA in
the child. So :func:`visible_devices` asks the library only when somebody has already
initialised it, and else works the list out from the environment; :func:`cuda_devices`,
for a process that is about to use CUDA anyway, initialises it.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.samplers._nvml import Nvml
from bigmodel_lab.samplers._nvml_device import NvmlDevice, mig_uuids

_CUDA_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CUDA_SUCCESS = 0

_ORDER_IS_A_GUESS = Text(
    "visible.order_is_a_guess",
    "Cards of different kinds: CUDA puts the fastest first, so cuda:0 may be another one. "
    "Set CUDA_DEVICE_ORDER=PCI_BUS_ID before Python starts to have the order of nvidia-smi.",
)
_ONE_MIG_INSTANCE = Text(
    "visible.one_mig_instance",
    "CUDA shows only one MIG instance to a process; which one is known when CUDA has started.",
)


@dataclass(frozen=True)
class KnownCard:
    """What the order of the cards depends on."""

    uuid: str
    """``"GPU-…"``."""
    name: str
    """Product name."""
    mig_uuids: tuple[str, ...] = ()
    """UUIDs of its MIG instances; empty when it is not split."""


@dataclass(frozen=True)
class VisibleDevices:
    """The cards that this process may see, in PyTorch's order."""

    uuids: tuple[str, ...]
    """UUID of cuda:0, cuda:1, …; ``"MIG-…"`` for a MIG instance."""
    reason: str = ""
    """Why there is none; empty when there are some."""
    doubt: str = ""
    """Why the order may be another one; empty when it is certain."""

    def index(self, gpu_uuid: str) -> int | None:
        """PyTorch's number of this card, or None when this process may not see it.

        >>> VisibleDevices(("GPU-b", "GPU-a")).index("GPU-a")
        1
        """
        return self.uuids.index(gpu_uuid) if gpu_uuid in self.uuids else None


def visible_devices(nvml: Nvml) -> VisibleDevices:
    """The visible cards, without initialising CUDA: from its library if it runs already, else from the environment."""
    return _from_library(nvml, initialise=False) or _from_environment(nvml)


def cuda_devices() -> VisibleDevices:
    """The visible cards as CUDA itself lists them, in PyTorch's order.

    Initialises the CUDA driver library and creates no context: for a process that is about
    to use CUDA. Without the library the list is worked out from the environment.

    >>> isinstance(cuda_devices().uuids, tuple)
    True
    """
    nvml = Nvml()
    found = _from_library(nvml, initialise=True) or _from_environment(nvml)
    nvml.close()
    return found


def resolve(cards: Sequence[KnownCard], variable: str | None, order: str | None) -> VisibleDevices:
    """What CUDA makes of the environment.

    Args:
        cards: Every card of the machine, in the order of the PCI bus.
        variable: ``CUDA_VISIBLE_DEVICES``; None when it is not set.
        order: ``CUDA_DEVICE_ORDER``; None when it is not set.

    >>> cards = [KnownCard("GPU-aa", "T4"), KnownCard("GPU-bb", "T4")]
    >>> resolve(cards, "1,GPU-a", None).uuids
    ('GPU-bb', 'GPU-aa')
    """
    if not cards:
        return VisibleDevices((), reason=text("visible.no_card", "The driver lists no card."))
    if variable is None:
        return VisibleDevices(
            tuple(c.mig_uuids[0] if c.mig_uuids else c.uuid for c in cards), doubt=_doubt(cards, order)
        )
    uuids = _unique(tuple(_named(cards, variable)))
    if not uuids:
        return VisibleDevices((), reason=_hidden(variable))
    by_number = any(re.match(r"\s*\+?\d", entry) for entry in variable.split(","))
    split = any(card.mig_uuids for card in cards)
    return VisibleDevices(uuids, doubt=_doubt(cards, order) if by_number or (split and len(uuids) > 1) else "")


def _named(cards: Sequence[KnownCard], variable: str) -> Iterator[str]:
    """The entries that CUDA takes: all before the first that names no card."""
    for entry in variable.split(","):
        found = _card_named(cards, entry.strip())
        if found is None:
            return
        yield found


def _card_named(cards: Sequence[KnownCard], entry: str) -> str | None:
    if entry.startswith("GPU-"):
        return _only(c.uuid for c in cards if c.uuid.startswith(entry))
    if entry.startswith("MIG-"):
        return _only(u for c in cards for u in c.mig_uuids if u.startswith(entry))
    number = re.match(r"\+?\d+", entry)  # like C's strtoul: "1gpu" is 1
    if number is None or int(number[0]) >= len(cards):
        return None
    card = cards[int(number[0])]
    return card.mig_uuids[0] if card.mig_uuids else card.uuid


def _only(found: Iterator[str]) -> str | None:
    names = tuple(found)
    return names[0] if len(names) == 1 else None


def _unique(uuids: tuple[str, ...]) -> tuple[str, ...]:
    """CUDA shows nothing at all when a card is named twice."""
    return uuids if len(set(uuids)) == len(uuids) else ()


def _doubt(cards: Sequence[KnownCard], order: str | None) -> str:
    if any(card.mig_uuids for card in cards):
        return str(_ONE_MIG_INSTANCE)
    if order == "PCI_BUS_ID" or len({card.name for card in cards}) == 1:
        return ""
    return str(_ORDER_IS_A_GUESS)


def _hidden(variable: str) -> str:
    return text(
        "visible.hidden",
        "CUDA_VISIBLE_DEVICES is {variable!r}, which hides every card from this process.",
        variable=variable,
    )


def _from_environment(nvml: Nvml) -> VisibleDevices:
    count = nvml.ask("nvmlDeviceGetCount")
    if not count.known:
        return VisibleDevices((), reason=count.reason)
    cards = tuple(card for card in (_known_card(nvml, i) for i in range(count.value)) if card is not None)
    return resolve(cards, os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"))


def _known_card(nvml: Nvml, index: int) -> KnownCard | None:
    device, _ = NvmlDevice.by_index(nvml, index)
    if device is None:
        return None
    instances = mig_uuids(nvml, device.board) if device.mig else ()
    return KnownCard(device.uuid, str(device.name().value or ""), instances)


def _from_library(nvml: Nvml, *, initialise: bool) -> VisibleDevices | None:
    """The list of the CUDA library; None when it is missing or not initialised."""
    try:
        library = ctypes.CDLL(_CUDA_LIBRARY)
    except OSError:
        return None
    if initialise and library.cuInit(0) != _CUDA_SUCCESS:
        return None
    count = ctypes.c_int()
    if library.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_SUCCESS:
        return None  # CUDA_ERROR_NOT_INITIALIZED: nobody has called cuInit
    uuids = [_uuid_of(library, ordinal) for ordinal in range(count.value)]
    known = [found for found in uuids if found is not None]
    if not uuids or len(known) < len(uuids):
        return None  # a gap would shift the numbers of those behind it
    return VisibleDevices(tuple(_with_kind(nvml, found) for found in known))


def _uuid_of(library: ctypes.CDLL, ordinal: int) -> uuid.UUID | None:
    device = ctypes.c_int()
    raw = (ctypes.c_ubyte * 16)()
    # The newer form tells a MIG instance from its card (CUDA 11.4).
    ask = getattr(library, "cuDeviceGetUuid_v2", None) or library.cuDeviceGetUuid
    found = library.cuDeviceGet(ctypes.byref(device), ordinal) == _CUDA_SUCCESS
    if not found or ask(raw, device) != _CUDA_SUCCESS:
        return None
    return uuid.UUID(bytes=bytes(raw))


def _with_kind(nvml: Nvml, found: uuid.UUID) -> str:
    """The 16 bytes as NVML writes them; only NVML knows whether they name a card or a MIG instance."""
    instance = f"MIG-{found}"
    return instance if nvml.ask("nvmlDeviceGetHandleByUUID", instance).known else f"GPU-{found}"
