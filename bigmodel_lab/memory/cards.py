"""Cards by name: how much memory each really has, and what is lost of it before the first tensor.

A card of "16 GB" never gives 16 GB: the driver keeps a part, error correction another, and each process that uses
CUDA holds a context. What is left is what a model has to fit into. Neither is one number: newer drivers keep more, and
a context grows with the multiprocessors of the card and with the kernels that are loaded. So both are ranges, between
the smallest and the largest that was seen, with source and year. What counts are Linux and drivers as clouds have them;
under Windows (WDDM) a card reports its whole memory and moves to the host what does not fit.

>>> from bigmodel_lab.units import format_bytes_as_torch
>>> t4 = card("T4")
>>> [format_bytes_as_torch(total) for total in t4.total_range], format_bytes_as_torch(t4.usable_bytes())
(['14.56 GiB', '14.76 GiB'], '14.19 GiB')
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
_DRIVERS_BYTES = 640 * 2**20
_DRIVERS_SHARE = 0.012
"""A driver keeps at most the larger of both: 635 MiB of an A100-40 (40,960 MiB less 40,325), 880 of an A100-80."""


@dataclass(frozen=True)
class Figure:
    """A number of bytes that somebody has seen, and where."""

    bytes: int
    """Of a rounded figure the end that promises less: the lower one of a least, the upper one of a most."""
    source: str
    """Begins with ``"unverified"`` where it was derived, or read off another card."""
    year: int | None = None
    """When it was seen; of a log without a date, by when it was public; None for a card that is made up."""
    software: str = ""
    """The driver, CUDA or torch that it was seen with, where that is known."""


@dataclass(frozen=True)
class Card:
    """A kind of graphics card, between the least and the most that such cards have shown.

    >>> Card.exact("mine", 10 * 2**30, (8, 6), 2**29).usable_bytes() == 19 * 2**29
    True
    """

    name: str
    """As this library calls it, e.g. ``"A100-80"``; the size itself for a made-up card, e.g. ``"24GiB"``."""
    capability: tuple[int, int]
    """Compute capability, e.g. (7, 5)."""
    least_total: Figure
    """The smallest ``total_memory`` that torch reported, with the driver's own part already taken off."""
    most_total: Figure
    """The largest."""
    least_context: Figure
    """The least that a process holds before its first tensor: the CUDA context, kernels loaded as they are used."""
    usual_context: Figure
    """What it holds as a rule."""
    most_context: Figure
    """The most, of one process without libraries that talk to other cards, as NCCL, and with kernels loaded as they are
    used, which CUDA does from 11.7 on: CUDA_MODULE_LOADING=EAGER took 380 MB more (pytorch/pytorch#86509)."""
    aliases: tuple[str, ...] = ()
    """Further names."""
    multiprocessors: int = 108
    """How many it has: kernels divide their work among them, and their buffers grow with it; an A100's where nobody knows.

    NVIDIA's data sheets and architecture papers give them, as cores divided by the cores of one.
    """

    @classmethod
    def exact(  # noqa: PLR0917
        cls,
        name: str,
        total_bytes: int,
        capability: tuple[int, int],
        context_bytes: int,
        source: str = "",
        multiprocessors: int = 108,
    ) -> Card:
        """A card that is known to the byte.

        Args:
            name: Any name.
            total_bytes: What CUDA reports.
            capability: Compute capability.
            context_bytes: What a process holds before its first tensor.
            source: How both are known.
            multiprocessors: How many it has.
        """
        total, context = Figure(total_bytes, source), Figure(context_bytes, source)
        return cls(name, capability, total, total, context, context, context, multiprocessors=multiprocessors)

    @property
    def total_range(self) -> tuple[int, int]:
        """Smallest and largest total that was seen, in bytes."""
        return self.least_total.bytes, self.most_total.bytes

    @property
    def total_bytes(self) -> int:
        """What such a card has at least; what counts wherever something has to fit."""
        return self.least_total.bytes

    @property
    def context_range(self) -> tuple[int, int]:
        """Least and most that a process holds before its first tensor, in bytes."""
        return self.least_context.bytes, self.most_context.bytes

    @property
    def context_bytes(self) -> int:
        """What a process holds before its first tensor as a rule."""
        return self.usual_context.bytes

    def usable_bytes(self, others: int = 0) -> int:
        """What this process can have for tensors in any case, from 0: of the smallest total, beside the largest context.

        Args:
            others: Bytes that other processes hold on the card.
        """
        return max(0, self.total_bytes - self.most_context.bytes - others)

    def sized(self, total_bytes: int, source: str = "") -> Card:
        """The same card with a total that is known to the byte.

        Args:
            total_bytes: What CUDA reports.
            source: How it is known.
        """
        total = Figure(total_bytes, source)
        return replace(self, least_total=total, most_total=total)

    def at_its_smallest(self) -> Card:
        """The smallest total and the largest context as one card without ranges: where a program runs, it runs on all of them."""
        context = self.most_context
        return replace(
            self.sized(self.total_bytes, self.least_total.source), least_context=context, usual_context=context
        )


def card(which: str | Card) -> Card:
    """The card with this name.

    Args:
        which: A name as people write it, in any case, with or without NVIDIA, GeForce, RTX, hyphens and ``GB``; or any
            size with its unit, which gives a made-up card of that total, with compute capability 8.0 and the context of
            known cards of that size. A card is returned as it is. Where one name has several sizes, the smallest is meant.

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


def card_at_hand(name: str, total_bytes: int | None, *, by_cuda: bool = False) -> Card | None:
    """A card that a driver reports: the one of this name, else a made-up one of its size; None where the size is unknown, too.

    Args:
        name: As the driver writes it.
        total_bytes: As the driver reports it; None is unknown.
        by_cuda: CUDA reports the total, which then holds to the byte. NVML and nvidia-smi count what the driver keeps for
            itself, so of their total only a part can be had.

    >>> card_at_hand("Tesla T4", None).name, card_at_hand("GPU 3000", 2**30).name
    ('T4', 'GPU 3000')
    >>> card_at_hand("Tesla T4", 15_636_365_312, by_cuda=True).total_range
    (15636365312, 15636365312)
    """
    known = _by_key().get(_key(name))
    if total_bytes is None:
        return known
    told = text("card.told", "what the driver of this machine reports")
    if by_cuda:
        return (known or _of_size(name, total_bytes, told)).sized(total_bytes, told)
    if known is not None:
        return known
    drivers = max(_DRIVERS_BYTES, int(_DRIVERS_SHARE * total_bytes))
    least = Figure(max(0, total_bytes - drivers), text("card.less_driver", "{told}, less what it may keep", told=told))
    return replace(_of_size(name, total_bytes, told), least_total=least)


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
    return {entry["name"]: _card(entry, data["contexts"][entry["context"]]) for entry in data["cards"]}


def _card(entry: Mapping[str, Any], context: Mapping[str, Any]) -> Card:
    name = entry["name"]
    major, minor = entry["capability"]
    return Card(
        name=name,
        capability=(major, minor),
        least_total=Figure(**entry["least"]),
        most_total=Figure(**entry["most"]),
        least_context=_context(context["least"], name),
        usual_context=_context(context["usual"], name),
        most_context=_context(context["most"], name),
        aliases=tuple(entry["aliases"]),
        multiprocessors=entry["multiprocessors"],
    )


def _context(seen: Mapping[str, Any], name: str) -> Figure:
    """A context, called unverified on every card but the one that it was seen on."""
    here = seen["card"] == name
    source = seen["source"] if here else f"unverified for this card: {seen['card']} {seen['source']}".replace("  ", " ")
    return Figure(seen["bytes"], source, seen["year"], seen["software"])


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return data


def _made_up(size: str) -> Card:
    """A card of any size."""
    try:
        total_bytes = parse_bytes(size)
    except UnitError:
        kind = text("card.kind", "graphics card, nor a size such as '24GiB',")
        raise UnknownNameError(kind, str(size), _read()) from None
    return _of_size(size.strip(), total_bytes, text("card.made_up", "made up: a size, not a card"))


def _of_size(name: str, total_bytes: int, source: str) -> Card:
    """A card that is known by its total alone: its context is at most the largest of the known cards up to that size."""
    known = cards()
    smaller = [one for one in known if one.total_bytes <= total_bytes] or list(known[:1])
    like = max(smaller, key=lambda one: one.most_context.bytes)
    least = min((one.least_context for one in known), key=lambda context: context.bytes)
    total = Figure(total_bytes, source)
    return replace(
        like,
        name=name,
        capability=(8, 0),
        least_total=total,
        most_total=total,
        least_context=least,
        aliases=(),
    )
