"""Cards by name: how much memory each really has, and what is lost of it before the first tensor.

A card of "16 GB" never gives 16 GB: the driver keeps a part, error correction another, and each process that uses
CUDA holds a context. What is left is what a model has to fit into.

>>> from bigmodel_lab.units import format_bytes
>>> format_bytes(card("T4").total_bytes), format_bytes(card("T4").usable_bytes())
('14.7 GiB', '14.4 GiB')
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import UnitError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.units import parse_bytes

NEWEST_KNOWN = (2, 13)
"""The newest torch whose sources were read for the sizes of workspaces."""
_CUBLAS = ":4096:2:16:8"  # SIZE in KiB : COUNT, twice; torch's own default since 2.0
_CUBLAS_LARGE_BYTES = 32 * 2**20
_CUBLASLT_BYTES = 2**20
_MAKERS_WORDS = re.compile(r"nvidia|geforce|tesla|rtx|gtx|(?<=\d)\s*gb\b")


@dataclass(frozen=True)
class Card:
    """A kind of graphics card."""

    name: str
    """As this library calls it, e.g. ``"A100-80"``; the size itself for a made-up card, e.g. ``"24GiB"``."""
    total_bytes: int
    """What torch reports as ``total_memory``, with the driver's own part already taken off."""
    capability: tuple[int, int]
    """Compute capability, e.g. (7, 5)."""
    context_bytes: int
    """What a process holds on the card before its first tensor: the CUDA context, kernels loaded as they are used."""
    source: str
    """Where the total comes from; begins with ``"unverified"`` where it was derived and not read off such a card."""
    context_source: str = ""
    """The same for the context."""
    aliases: tuple[str, ...] = ()
    """Further names."""
    multiprocessors: int = 108
    """How many it has: kernels divide their work among them, and their buffers grow with it; an A100's where nobody knows.

    NVIDIA's data sheets and architecture papers give them, as cores divided by the cores of one.
    """

    def usable_bytes(self, others: int = 0) -> int:
        """What this process can have for tensors, from 0.

        Args:
            others: Bytes that other processes hold on the card.
        """
        return max(0, self.total_bytes - self.context_bytes - others)


def card(which: str | Card) -> Card:
    """The card with this name.

    Args:
        which: A name as people write it, in any case, with or without NVIDIA, GeForce, RTX, hyphens and ``GB``; or any
            size with its unit, which gives a made-up card of that total, with compute capability 8.0 and the usual
            context. A card is returned as it is. Where one name has several sizes, the smallest is meant.

    Raises:
        UnknownNameError: Neither a known card nor a size; the message has the nearest name.

    >>> card("a100-80").name, card("NVIDIA GeForce RTX 4090").name, card("4090").capability
    ('A100-80', 'RTX 4090', (8, 9))
    >>> card("24GiB").total_bytes == 24 * 2**30
    True
    """
    if isinstance(which, Card):
        return which
    known = _by_key().get(_key(which))
    return _made_up(which) if known is None else known


def card_at_hand(name: str, total_bytes: int | None) -> Card | None:
    """A card that a driver reports: the one of this name, else a made-up one of its size; None where the size is unknown, too.

    Args:
        name: As the driver writes it.
        total_bytes: As the driver reports it; None is unknown.

    >>> card_at_hand("Tesla T4", None).name, card_at_hand("GPU 3000", 2**30).name
    ('T4', 'GPU 3000')
    """
    known = _by_key().get(_key(name))
    if known is not None or total_bytes is None:
        return known
    return replace(_made_up(f"{total_bytes} B"), name=name)


def cards() -> tuple[Card, ...]:
    """Every card that is known by name, the smallest first.

    >>> cards()[0].total_bytes < cards()[-1].total_bytes
    True
    """
    return tuple(sorted(_read().values(), key=lambda known: known.total_bytes))


def cublas_workspace_bytes(
    capability: tuple[int, int], torch_version: tuple[int, int] | None = None, config: str = ""
) -> int:
    """What cuBLAS takes from the caching allocator at its first product: one block a handle and stream.

    Rules of ``parseChosenWorkspaceSize`` in torch's ``aten/src/ATen/cuda/CublasHandlePool.cpp``: 32 MiB on Hopper
    (9.0), on Blackwell (10.x, 12.x) since torch 2.12 (pull request 175344), else ``:4096:2:16:8``, that is 2 × 4 MiB
    and 8 × 16 KiB.

    Args:
        capability: Compute capability of the card.
        torch_version: Whose rule; None is the installed torch, or the newest whose rule is known.
        config: Value of the environment's ``CUBLAS_WORKSPACE_CONFIG``; one that torch does not understand is ignored,
            as torch does.

    >>> cublas_workspace_bytes((7, 5)), cublas_workspace_bytes((9, 0))
    (8519680, 33554432)
    >>> cublas_workspace_bytes((12, 0), (2, 11)), cublas_workspace_bytes((12, 0), (2, 12))
    (8519680, 33554432)
    """
    pieces = re.findall(r":(\d+):(\d+)", config)
    if not pieces and _takes_large(capability, torch_version or _installed_torch()):
        return _CUBLAS_LARGE_BYTES
    pieces = pieces or re.findall(r":(\d+):(\d+)", _CUBLAS)
    return sum(int(kibibytes) * 1024 * int(count) for kibibytes, count in pieces)


def cublaslt_workspace_bytes(capability: tuple[int, int], torch_version: tuple[int, int] | None = None) -> int:
    """What cuBLASLt takes besides at its first product: one block a handle and stream.

    Rules of ``getCUDABlasLtWorkspace`` in the same file: 1 MiB of its own up to torch 2.11; since 2.12 (pull request
    175879) it works in the block of cuBLAS and takes none, but makes that block where it comes first.

    Args:
        capability: Compute capability of the card.
        torch_version: Whose rule; None is the installed torch, or the newest whose rule is known.

    >>> cublaslt_workspace_bytes((9, 0), (2, 11)), cublaslt_workspace_bytes((9, 0), (2, 13))
    (1048576, 0)
    """
    del capability  # 1 MiB on every NVIDIA card
    return 0 if (torch_version or _installed_torch()) >= (2, 12) else _CUBLASLT_BYTES


def _takes_large(capability: tuple[int, int], torch_version: tuple[int, int]) -> bool:
    blackwell = capability[0] in {10, 12} and torch_version >= (2, 12)
    return capability == (9, 0) or blackwell


@lru_cache(maxsize=1)
def _installed_torch() -> tuple[int, int]:
    """Version of the installed torch, without importing it; the newest known where there is none."""
    try:
        major, minor = version("torch").split(".")[:2]
    except PackageNotFoundError:
        return NEWEST_KNOWN
    return int(major), int(minor)


def _key(name: str) -> str:
    """What stays of a name when everything goes that people write or leave out."""
    return re.sub(r"[^a-z0-9]", "", _MAKERS_WORDS.sub("", name.lower()))


@lru_cache(maxsize=1)
def _by_key() -> Mapping[str, Card]:
    return {_key(name): known for known in _read().values() for name in (known.name, *known.aliases)}


@lru_cache(maxsize=1)
def _read() -> Mapping[str, Card]:
    """Cards of the data file by name."""
    data = _data()
    contexts = data["contexts"]
    return {
        entry["name"]: Card(
            entry["name"],
            entry["total_bytes"],
            (entry["capability"][0], entry["capability"][1]),
            contexts[entry["context"]]["bytes"],
            entry["source"],
            contexts[entry["context"]]["source"],
            tuple(entry["aliases"]),
            entry["multiprocessors"],
        )
        for entry in data["cards"]
    }


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return data


def _made_up(size: str) -> Card:
    """A card of any size; its context is that of most cards."""
    try:
        total_bytes = parse_bytes(size)
    except UnitError:
        kind = text("card.kind", "graphics card, nor a size such as '24GiB',")
        raise UnknownNameError(kind, str(size), _read()) from None
    context = _data()["contexts"]["typical"]
    source = text("card.made_up", "made up: a size, not a card")
    return Card(size.strip(), total_bytes, (8, 0), context["bytes"], source, context["source"])
