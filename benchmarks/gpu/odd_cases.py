"""Programs that are unlike the textbook's: batches of other kinds, steps that do more or give back more, models in shells."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmarks.gpu.odd_run import Program

WIDE = 2048


@dataclass
class Graph:
    """As libraries for graphs have it."""

    nodes: Tensor
    edges: Tensor
    of: Tensor
    labels: Tensor

    def to(self, device: str) -> Graph:
        """All of it."""
        return Graph(*(part.to(device) for part in (self.nodes, self.edges, self.of, self.labels)))


class Convolved(nn.Module):
    """A graph convolution and a sum over each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 256), nn.Linear(256, 8)

    def forward(self, graph: Graph) -> Tensor:
        """Scores of each graph."""
        h = self.first(graph.nodes).relu()
        h = torch.zeros_like(h).index_add(0, graph.edges[1], h[graph.edges[0]])
        return self.last(torch.zeros(len(graph.labels), 256, device=h.device).index_add(0, graph.of, h))


class Boxes(nn.Module):
    """One pass for each image, as detectors do with images of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 256), nn.Linear(256, 4)

    def forward(self, images: Any, targets: Any) -> dict[str, Tensor]:
        """Losses by name."""
        pairs = [
            (self.last(self.first(i.flatten(1).t()).relu()), t["boxes"]) for i, t in zip(images, targets, strict=True)
        ]
        distances = [torch.cdist(found, boxes).mean() for found, boxes in pairs]
        return {"distance": torch.stack(distances).sum(), "size": sum(found.abs().mean() for found, _ in pairs)}


class Routed(nn.Module):
    """Experts that get their rows by places."""

    def __init__(self, ways: int = 8) -> None:
        super().__init__()
        self.gate = nn.Linear(512, ways)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 512)) for _ in range(ways)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of each row two experts."""
        weights, chosen = self.gate(x).softmax(-1).topk(2)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            row, place = torch.where(chosen == number)
            out = out.index_add(0, row, expert(x[row]) * weights[row, place, None])
        return out


class Kept(nn.Module):
    """Keeps an activation as an attribute, as programs do that explain a model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(WIDE, WIDE, bias=False), nn.Linear(WIDE, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        self.seen = self.first(x)
        return self.last(self.seen.relu())


class Words(nn.Module):
    """A table of many rows of which a batch needs few."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(200_000, 64, sparse=True)
        self.last = nn.Linear(64, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.last(self.table(x).mean(1))


class Heard(nn.Module):
    """Scores of letters at each moment."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(80, 512, bias=False), nn.Linear(512, 64, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Their logarithms."""
        return self.last(self.first(x).relu()).log_softmax(2)


def mixture() -> nn.Module:
    """Mixtral of Transformers, small, in fp32."""
    from transformers import MixtralConfig, MixtralForCausalLM

    shape = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8}
    return MixtralForCausalLM(MixtralConfig(vocab_size=4096, num_key_value_heads=4, num_local_experts=8, **shape))


def layers(*wrap: Any) -> nn.Module:
    """Three linear layers, each as given."""
    one = wrap[0] if wrap else (lambda layer: layer)
    wide = [one(nn.Linear(WIDE, WIDE, bias=False)) for _ in range(2)]
    return nn.Sequential(wide[0], nn.ReLU(), wide[1], nn.ReLU(), nn.Linear(WIDE, 8, bias=False))


def lazy() -> nn.Module:
    """The same, without sizes."""
    return nn.Sequential(
        nn.LazyLinear(WIDE, bias=False),
        nn.ReLU(),
        nn.LazyLinear(WIDE, bias=False),
        nn.ReLU(),
        nn.LazyLinear(8, bias=False),
    )


def rows(count: int = 4096) -> dict[str, Tensor]:
    """Rows with their classes."""
    return {"x": torch.zeros(count, WIDE), "y": torch.zeros(count, dtype=torch.long)}


def words() -> dict[str, Tensor]:
    """Places in the table."""
    return {"x": torch.zeros(4096, 64, dtype=torch.long), "y": torch.zeros(4096, dtype=torch.long)}


def graph() -> Graph:
    """Eight graphs in one."""
    places = {"dtype": torch.long}
    return Graph(
        torch.zeros(30_000, 64),
        torch.zeros(2, 200_000, **places),
        torch.zeros(30_000, **places),
        torch.zeros(8, **places),
    )


def images() -> Any:
    """Two images of different sizes with their boxes."""
    pictures = [torch.zeros(3, 320, 400), torch.zeros(3, 300, 320)]
    return pictures, [{"boxes": torch.zeros(3, 4)}, {"boxes": torch.zeros(5, 4)}]


def tokens() -> dict[str, Tensor]:
    """Text with labels."""
    ids = torch.zeros(4, 512, dtype=torch.long)
    return {"input_ids": ids, "labels": ids}


def nested() -> Tensor:
    """Samples of different lengths."""
    return torch.nested.nested_tensor([torch.zeros(n, WIDE) for n in (700, 1500, 300)], layout=torch.jagged)


def classes(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy."""
    return F.cross_entropy(model(batch["x"]), batch["y"])


def with_scores(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """The loss and what it is of."""
    scores = model(batch["x"])
    return F.cross_entropy(scores, batch["y"]), scores


def goes_back(model: nn.Module, batch: Any) -> float:
    """A step that makes its backward pass."""
    loss = classes(model, batch)
    loss.backward()
    return loss.item()


def does_all(model: nn.Module, batch: Any) -> float:
    """A step that makes its update, too."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = classes(model, batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def spread(model: nn.Module, batch: Any) -> Tensor:
    """A product with a sparse matrix."""
    return F.cross_entropy(torch.sparse.mm(batch["a"], model(batch["x"])), batch["y"])


def heard(model: nn.Module, batch: Any) -> Tensor:
    """CTC with lengths as lists."""
    return F.ctc_loss(model(batch["x"]), batch["y"], (400,) * 16, (60,) * 16)


def heard_joined(model: nn.Module, batch: Any) -> Tensor:
    """CTC with the targets of all samples in one row."""
    return F.ctc_loss(model(batch["x"]), batch["y"], batch["times"], batch["lengths"])


def joined() -> dict[str, Tensor]:
    """Scores by time, and joined targets."""
    lengths = {"times": torch.full((16,), 400), "lengths": torch.full((16,), 60)}
    return {"x": torch.zeros(400, 16, 80), "y": torch.zeros(16 * 60, dtype=torch.long), **lengths}


def adjacency() -> dict[str, Tensor]:
    """Rows and who stands beside whom."""
    places = torch.arange(4096).repeat(2, 8)
    return {
        **rows(),
        "a": torch.sparse_coo_tensor(places, torch.zeros(places.shape[1]), (4096, 4096), check_invariants=False),
    }


def sparse_adam(model: nn.Module) -> torch.optim.Optimizer:
    """Of the table alone."""
    return torch.optim.SparseAdam([model.get_parameter("table.weight")])


def text_model() -> nn.Module:
    """GPT-2 of Transformers, small."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=8192, n_positions=512, n_embd=256, n_layer=4, n_head=4))


PROGRAMS = (
    Program("graph", Convolved, graph, lambda model, batch: F.cross_entropy(model(batch), batch.labels)),
    Program("images", Boxes, images, lambda model, batch: model(*batch), loss_in=lambda found: sum(found.values())),
    Program("tuple", layers, rows, with_scores, loss_in=operator.itemgetter(0), keeps=True),
    Program(
        "dict", layers, rows, lambda model, batch: {"loss": classes(model, batch)}, loss_in=operator.itemgetter("loss")
    ),
    Program(
        "vector",
        layers,
        rows,
        lambda model, batch: F.cross_entropy(model(batch["x"]), batch["y"], reduction="none"),
        loss_in=lambda losses: losses.mean(),
    ),
    Program("goes_back", layers, rows, goes_back, loss_in=None),
    Program("does_all", layers, rows, does_all, loss_in=None, updates=False),
    Program(
        "accumulated_loss",
        lambda: nn.Linear(512, 32_000, bias=False),
        lambda: (torch.zeros(1024, 512), torch.zeros(1024, dtype=torch.long)),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        accumulation=4,
        pair_loss=F.cross_entropy,
    ),
    Program(
        "output_object",
        text_model,
        tokens,
        lambda model, batch: model(**batch),
        loss_in=operator.attrgetter("loss"),
        keeps=True,
    ),
    Program("lazy", lazy, rows, classes),
    Program("weight_norm", lambda: layers(parametrizations.weight_norm), rows, classes),
    Program("spectral_norm", lambda: layers(parametrizations.spectral_norm), rows, classes),
    Program("kept_activation", Kept, rows, classes),
    Program("ddp", layers, rows, classes, shell="ddp"),
    Program("data_parallel", layers, rows, classes, shell="dp"),
    Program(
        "sync_batch_norm",
        lambda: nn.Sequential(
            nn.Linear(WIDE, WIDE, bias=False), nn.SyncBatchNorm(WIDE), nn.Linear(WIDE, 8, bias=False)
        ),
        rows,
        classes,
    ),
    Program("sparse_gradient_sgd", Words, words, classes),
    Program("sparse_gradient_adam", Words, words, classes, optimizer=sparse_adam),
    Program("sparse_matrix", layers, adjacency, spread),
    Program("nested", layers, nested, lambda model, batch: model(batch).values().mean()),
    Program(
        "ctc_lists", Heard, lambda: {"x": torch.zeros(400, 16, 80), "y": torch.zeros(16, 60, dtype=torch.long)}, heard
    ),
    Program("ctc_joined", Heard, joined, heard_joined, by_values=True),
    Program("mixture_fp32", mixture, tokens, lambda model, batch: model(**batch).loss),
    Program(
        "experts_by_place",
        Routed,
        lambda: torch.zeros(4096, 512),
        lambda model, x: model(x).square().mean(),
        by_values=True,
    ),
)
"""Each once."""
