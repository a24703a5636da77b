"""Whether the predicted largest micro-batch lies inside what a real RTX 3090 has shown for the models of timm.

    pip install --no-deps timm==0.6.7        # the models as they were measured; needs torchvision or a stand-in for it
    python benchmarks/timm_brackets.py [--group varied] [--only vit_base_patch16_224] [--record]

timm's authors trained each model with the largest batch that ran on a card with 24 GB, and tried smaller and smaller ones
until then: the published batch ran and the next larger did not. So the truth lies between the two (``timm_brackets.json``).
What ran is made again: SGD with momentum, float16 by autocast, gradients set to zero and kept (the default of torch 1.12),
convolutions free to take any workspace (``cudnn.benchmark``). Their torch was 1.12, ours is the installed one.

**over**: the prediction is a size that did not run, the worst failure there is. **under**: a size that ran is not predicted.
Passes where none is over and 85 % are inside. Exit status 1: it did not pass; 2: timm of that time is not installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import bigmodel_lab as lab
from benchmarks.measuring.machine import record

CARD = "RTX 3090"
"""Where they were measured."""
OF_THAT_TIME = "0.6.7"
"""Version of timm whose models are meant; later ones compute attention otherwise."""
FACTS = Path(__file__).parent / "measuring" / "timm_brackets.json"
"""Models, layouts and brackets, with their source."""
INSIDE = 0.85
"""Least share of predictions inside their bracket."""


@dataclass(frozen=True)
class Bracket:
    """What the card has shown of one model."""

    model: str
    """Its name in timm."""
    group: str
    """Why it is among the rows."""
    layout: str
    """Of images and weights in memory: ``"nchw"``, or ``"nhwc"``, which is channels last."""
    image: int
    """Pixels of a side."""
    ran: int
    """Largest batch that ran."""
    failed: int
    """The next larger that was tried."""

    def verdict(self, predicted: int) -> str:
        """``"inside"``, ``"over"`` or ``"under"``.

        >>> [Bracket("m", "g", "nhwc", 224, 64, 96).verdict(size) for size in (63, 64, 95, 96)]
        ['under', 'inside', 'inside', 'over']
        """
        return "over" if predicted >= self.failed else "inside" if predicted >= self.ran else "under"


@dataclass(frozen=True)
class Row:
    """A bracket and what the library says of it."""

    bracket: Bracket
    """What the card has shown."""
    predicted: int
    """Largest micro-batch by the library."""
    estimate_s: float
    """Seconds of the estimate before."""
    search_s: float
    """Seconds of the search."""

    def __str__(self) -> str:
        one = self.bracket
        return (
            f"{one.verdict(self.predicted):<6} {one.model:<36} {one.layout} ran {one.ran:>3}, not {one.failed:>3}: "
            f"predicted {self.predicted:>3}  (estimate {self.estimate_s:.1f} s, search {self.search_s:.1f} s)"
        )


class KeptGradients(torch.optim.SGD):
    """Sets gradients to zero and keeps their memory, as ``zero_grad()`` did by default up to torch 1.13."""

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Whatever is asked for."""
        del set_to_none
        super().zero_grad(set_to_none=False)


def optimizer(model: nn.Module) -> KeptGradients:
    """What timm calls "sgd"; before torch 2.0 it went through the weights one by one."""
    return KeptGradients(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, foreach=False)


def brackets(group: str = "", only: str = "") -> list[Bracket]:
    """The rows of the file.

    Args:
        group: Of this group alone; empty takes all.
        only: Models by name, with commas; empty takes all.
    """
    facts: dict[str, Any] = json.loads(FACTS.read_text("utf-8"))
    names = {name for name in only.split(",") if name}
    rows = (Bracket(**row) for row in facts["rows"])
    return [row for row in rows if group in ("", row.group) and (not names or row.model in names)]


def predicted(bracket: Bracket) -> Row:
    """Ask the library; the model is made in main memory, and nothing is computed."""
    from timm import create_model

    model = create_model(bracket.model)
    images = torch.empty(8, 3, bracket.image, bracket.image, device="meta")
    if bracket.layout == "nhwc":
        model, images = (each.to(memory_format=torch.channels_last) for each in (model, images))
    batch = (images, torch.empty(8, dtype=torch.long, device="meta"))
    begun = time.perf_counter()
    estimate = lab.estimate_memory(model, batch, loss=cross_entropy, optimizer=optimizer, precision="fp16", gpu=CARD)
    asked = time.perf_counter()
    largest = estimate.max_micro_batch_size()
    return Row(bracket, largest, asked - begun, time.perf_counter() - asked)


def summary(rows: Sequence[Row]) -> Iterator[tuple[bool, str]]:
    """Whether it passes, and in words, for each group and for all."""
    groups = sorted({row.bracket.group for row in rows})
    for name in [*groups, *(["all"] if len(groups) > 1 else [])]:
        verdicts = [row.bracket.verdict(row.predicted) for row in rows if name in (row.bracket.group, "all")]
        over, inside = verdicts.count("over"), verdicts.count("inside")
        words = f"{name}: {over} of {len(verdicts)} over, {inside} inside, {verdicts.count('under')} under"
        yield over == 0 and inside >= INSIDE * len(verdicts), words


def main() -> int:
    """Ask about every model, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", default="", help="varied, drawn or nchw; empty takes all")
    parser.add_argument("--only", default="", help="models, by name, with commas")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    if missing := why_not():
        print(missing, file=sys.stderr)
        return 2
    rows = []
    for bracket in brackets(wanted.group, wanted.only):
        rows.append(predicted(bracket))
        print(rows[-1], flush=True)
    judged = list(summary(rows))
    print("", *(f"{'pass' if passed else 'FAIL'}  {words}" for passed, words in judged), sep="\n")
    if wanted.record:
        report = "\n".join([*map(str, rows), "", *(words for _, words in judged)])
        print("Kept:", *record("timm_brackets", {"timm": OF_THAT_TIME, "rows": [asdict(row) for row in rows]}, report))
    return 0 if rows and all(passed for passed, _ in judged) else 1


def why_not() -> str:
    """Why nothing can be asked here; empty where it can."""
    try:
        found = version("timm")
    except PackageNotFoundError:
        found = "none"
    if found == OF_THAT_TIME:
        return ""
    return f"timm {OF_THAT_TIME} is needed, found {found}: pip install --no-deps timm=={OF_THAT_TIME}"


if __name__ == "__main__":
    sys.exit(main())
