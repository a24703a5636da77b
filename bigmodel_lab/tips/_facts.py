"""What was measured of a run, and what is around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bigmodel_lab.training.config import PrecisionName

Mode = Literal["train", "inference", "generate"]
"""What is done with a model."""


@dataclass(frozen=True)
class StepFacts:
    """What was measured of the latest steps."""

    steps: int
    """How many were looked at."""
    seconds: float
    """Median time of a step."""
    samples_per_second: float | None = None
    """Median throughput; None where the samples of a step are unknown."""
    data_wait_share: float | None = None
    """Share of a step's time in which it waited for its batch, 0 … 1; None is unknown."""
    gpu_utilization_percent: float | None = None
    """95th percentile of the driver's samples; None is unknown."""
    throughput_by_micro_batch: Mapping[int, float] = field(default_factory=dict)
    """Median samples a second at each micro-batch size that this run has had; empty where it never changed."""


@dataclass(frozen=True)
class MemoryFacts:
    """What was measured of the card's memory since the run began, or since the last change."""

    peak_allocated_bytes: int
    """Highest memory of live tensors."""
    peak_reserved_bytes: int
    """Highest memory that the caching allocator held."""
    alloc_retries: int = 0
    """Times that the allocator had to give back its cache to serve a request."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model is made of, as far as tips care."""

    parameters: int
    """All of them."""
    trainable_parameters: int
    """Those that learn."""
    convolutions: int = 0
    """Layers of 2-d convolution."""
    batch_norms: int = 0
    """Layers that take statistics over the batch."""
    random_layers: int = 0
    """Layers that draw random numbers in training, as dropout does."""
    is_compiled: bool = False
    """``torch.compile`` was applied."""


@dataclass(frozen=True)
class LoaderFacts:
    """How a loop of one's own gets its batches."""

    workers: int
    """Processes that load; 0 loads in the training's own."""
    pins_memory: bool
    """Batches are put into pinned memory."""
    persistent_workers: bool = False
    """Workers live on from epoch to epoch."""
    data_bytes: int | None = None
    """Size of the whole data set in memory; None is unknown."""


@dataclass(frozen=True)
class LoopFacts:
    """What a loop that is not ours has shown of itself; None is unknown."""

    framework: str = "plain"
    """As in :class:`~bigmodel_lab.tips.base.Code`."""
    mode: Mode = "train"
    """What it does with the model."""
    loader: LoaderFacts | None = None
    """How it gets its batches."""
    model: ModelFacts | None = None
    """What it trains."""
    micro_batch_size: int | None = None
    """Samples of a batch."""
    gradient_accumulation_steps: int | None = None
    """Batches behind a step of the optimizer."""
    precision: PrecisionName | None = None
    """Number format of the forward pass."""
    keeps_gradients: bool | None = None
    """Gradients stay in memory from one optimizer step to the next."""
    keeps_graph: bool | None = None
    """The model's outputs need gradients."""

    def as_json(self) -> dict[str, Any]:
        """Values of JSON, for the header of a run."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> LoopFacts:
        """Out of the header of a run; what another version wrote besides is left out.

        Args:
            facts: As :meth:`as_json` gave them.

        >>> LoopFacts.from_json(LoopFacts(loader=LoaderFacts(2, True)).as_json()).loader.workers
        2
        """
        known = {name: value for name, value in facts.items() if name in cls.__dataclass_fields__}
        parts: dict[str, Any] = {"loader": LoaderFacts, "model": ModelFacts}
        made = {name: kind(**known[name]) for name, kind in parts.items() if known.get(name)}
        return cls(**{**known, **made})


@dataclass(frozen=True)
class OtherCard:
    """Another card of this machine, free to be used."""

    index: int
    """PyTorch's number."""
    name: str
    """The driver's name."""
    free_bytes: int
    """Memory that nobody holds."""


@dataclass(frozen=True)
class Platform:
    """The software and the machine around a run."""

    torch: tuple[int, int] = (2, 13)
    """Version of PyTorch."""
    system: str = "linux"
    """``sys.platform``."""
    packages: frozenset[str] = frozenset()
    """Optional packages that are installed, of ``torchao``, ``bitsandbytes``, ``triton``."""
    processors: int = 2
    """Cores that this process may use."""
    host_free_bytes: int | None = None
    """Main memory that is left; None is unknown."""
    other_cards: tuple[OtherCard, ...] = ()
    """Cards on which nobody computes, without that of the run."""
    alloc_conf: str = ""
    """PYTORCH_ALLOC_CONF (or PYTORCH_CUDA_ALLOC_CONF, which wins) of this process."""
    in_notebook: bool = False
    """The run is shown in a notebook."""
