"""The card on which sizes are tried: what the steps may take of it, and what an estimate says of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from bigmodel_lab.api._virtual_gpu import Place
from bigmodel_lab.errors import BigModelLabError, ConfigError
from bigmodel_lab.estimate import MemoryEstimate
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.tips._finder import FIRST_SIZE, find_largest
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from bigmodel_lab.tips._predicted_sizes import PredictedSizes
from bigmodel_lab.tips._real_trials import Loop, RealTrials, capacity_of, capped
from bigmodel_lab.training.device_memory import DeviceMemory

_SEGMENT_BYTES = 20 * 2**20
"""What PyTorch's caching allocator asks of the driver for requests from 1 to 10 MiB."""
_NO_ESTIMATE = (BigModelLabError, RuntimeError, TypeError, ValueError, AttributeError, LookupError)
"""What a step that somebody else wrote may raise on tensors without data."""


@dataclass(frozen=True)
class TrialPlace:
    """A card, real or simulated, with a limit."""

    place: Place
    """Where it computes."""
    memory: DeviceMemory
    """Of the card."""
    card: Card
    """Which one."""
    total_bytes: int
    """Of the card, as its driver counts."""
    capacity_bytes: int
    """What the steps may take."""
    share: float | None = None
    """Of the card, that may be held before and behind the trials; None is all of it."""

    @classmethod
    def of(cls, place: Place, asked_bytes: int | None, share: float | None = None) -> TrialPlace:
        """The card of a place.

        Args:
            place: Where to compute.
            asked_bytes: Most that the steps may take; None is all that is free.
            share: The same as a share of the card; None is the cap that the person has set, if there is one.

        Raises:
            ConfigError: There is no card, so no limit to find.
        """
        card = place.card()
        if card is None:
            raise ConfigError(
                text(
                    "error.no_limit",
                    "{device} has no memory limit that could be found. Simulate a card, e.g. device='virtual:T4' or "
                    "device='virtual:8GiB', or run where there is a CUDA card.",
                    device=place.choice.device,
                )
            )
        total = card.total_bytes if place.gpu else torch.cuda.mem_get_info(place.choice.device)[1]
        share = _share_now(place) if share is None else share
        asked = [size for size in (asked_bytes, None if share is None else int(share * total)) if size is not None]
        memory = place.memory
        capacity = capacity_of(memory, total, place.others_bytes(), min(asked, default=None))
        return cls(place, memory, card, total, capacity, share)

    @property
    def simulated(self) -> bool:
        """The card exists only in numbers."""
        return self.place.gpu is not None

    def rest_bytes(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """What lies on the card besides this model and its optimizer's state: data, and whatever else this process holds.

        Args:
            model: On the card, without gradients.
            optimizer: Over its parameters.
        """
        self.memory.clear_workspaces()  # an estimate has its own
        held = self.memory.in_use()
        kept = [*model.parameters(), *model.buffers()]
        states = (value for state in optimizer.state.values() for value in state.values())
        kept += [value for value in states if isinstance(value, torch.Tensor) and value.dim()]
        own = sum(tensor.untyped_storage().nbytes() for tensor in kept)
        return 0 if held is None else max(0, held.allocated_bytes - own)


def finding(
    loop: Loop,
    where: TrialPlace,
    *,
    name: str,
    at_most: int,
    typical: int,
    estimate: Callable[[Card], MemoryEstimate],
    rest_bytes: int,
    start_over: Callable[[], None],
) -> FoundBatchSize:
    """Find the largest micro-batch of a loop; its card is in use.

    Args:
        loop: Whose steps are tried.
        where: The card.
        name: What the model is called.
        at_most: The largest size that may be tried.
        typical: A size that the person uses.
        estimate: Of the same steps on a card; raises where they cannot be followed without data.
        rest_bytes: What lies on the card from beginning to end and is not in the estimate.
        start_over: Model and optimizer are as before the first step.
    """
    capacity = where.capacity_bytes
    prediction, notes = (
        _predicted(lambda: PredictedSizes(estimate(where.card), capacity, at_most, rest_bytes))
        if capacity
        else (None, ())
    )
    trials = RealTrials(
        loop,
        where.memory,
        device=where.place.choice.device,
        simulated=where.simulated,
        start_over=start_over,
    )
    with capped(where.memory, capacity, where.total_bytes, where.share):
        found = find_largest(
            trials,
            capacity,
            at_most=at_most,
            prediction=prediction,
            first=min(max(FIRST_SIZE // 2, typical // FIRST_SIZE), 2 * FIRST_SIZE),
            grain_bytes=_SEGMENT_BYTES,
        )
    return FoundBatchSize(found, name, where.card.name, capacity, where.simulated, notes)


def _share_now(place: Place) -> float | None:
    """The cap that the person has set on the card; None where there is none, or torch does not tell."""
    if place.gpu is not None:
        share = place.gpu.memory_fraction
    else:
        ask = getattr(torch.cuda, "get_per_process_memory_fraction", None)
        share = 1.0 if ask is None else float(ask(place.choice.device))
    return share if share < 1 else None


def _predicted(make: Callable[[], PredictedSizes]) -> tuple[PredictedSizes | None, tuple[str, ...]]:
    """What an estimate says, traced where no simulated card charges it; or why there is none."""
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="estimate") as other:
            return other.submit(make).result(), ()
    except _NO_ESTIMATE as error:
        note = text(
            "batch_size.no_estimate",
            "No estimate was possible ({kind}: {message}), so two small sizes were probed.",
            kind=type(error).__name__,
            message=str(error).partition("\n")[0],
        )
        return None, (note,)
