"""The grid: what is trained, in which number format, by which optimizer. Each case is data, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from benchmarks.gpu.shapes import BERT, GPT, LSTM, MLP, ResNet, UNet, ViT
from benchmarks.gpu.subjects import Documented, Subject

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""Number formats of the forward pass."""


@dataclass(frozen=True)
class Rule:
    """An optimizer with its settings."""

    optimizer: str
    """Class of ``torch.optim``, lower case."""
    options: tuple[tuple[str, Any], ...] = ()
    """Keyword arguments beside the learning rate."""

    @property
    def name(self) -> str:
        """With its settings."""
        return self.optimizer + "".join(
            f"-{key}{'' if value is True else value}".lower() for key, value in self.options
        )


SGD = Rule("sgd")
MOMENTUM = Rule("sgd", (("momentum", 0.9),))
ADAM, ADAMW = Rule("adam"), Rule("adamw")
FUSED = Rule("adamw", (("fused", True),))
LOOP = Rule("adamw", (("foreach", False),))
OTHERS = (SGD, MOMENTUM, ADAM, FUSED, LOOP, Rule("rmsprop"), Rule("adagrad"), Rule("adafactor"), Rule("adamax"))
"""Optimizers other than AdamW with torch's own settings."""


@dataclass(frozen=True)
class Case:
    """Two optimizer steps of one subject, from an empty card."""

    subject: Subject
    """What is trained."""
    samples: int
    """Samples of one optimizer step."""
    precision: str = "fp32"
    """Number format of the forward pass."""
    rule: Rule = ADAMW
    """The optimizer."""
    micro_batches: int = 1
    """Forward and backward passes of one optimizer step, each over the same part of the samples."""
    traced: bool = False
    """The allocator's own events are kept as well."""
    alone: bool = False
    """In a process of its own, as it leaves something on the card that cannot be cleared."""

    @property
    def micro_batch_size(self) -> int:
        """Samples of one forward pass."""
        return self.samples // self.micro_batches

    @property
    def takes_cudnn(self) -> bool:
        """Whether cuDNN chooses workspaces in it, which nobody publishes: in convolutions and recurrent layers."""
        return any(isinstance(layer, nn.RNNBase | _ConvNd) for layer in _on_meta(self.subject).modules())

    @property
    def name(self) -> str:
        """Unique in the grid; what ``--case`` takes."""
        parts = [self.subject.name, f"b{self.samples}", self.precision, self.rule.name]
        return "_".join([*parts, *([f"in{self.micro_batches}"] if self.micro_batches > 1 else [])])


@cache
def _on_meta(subject: Subject) -> nn.Module:
    with torch.device("meta"):
        return subject.build()


@cache
def grid() -> tuple[Case, ...]:
    """Every case once: the traced first, then the documented models, then the shapes; large ones last."""
    cases = dict.fromkeys([*_traced(), *_documented(), *_convolutional(), *_sequences(), *_linear(), *_large()])
    once = {case.name: case for case in reversed(list(cases))}  # of two that differ in being traced, the first stays
    return tuple(once[name] for name in dict.fromkeys(case.name for case in cases))


def find(name: str) -> Case:
    """The case with this name.

    Args:
        name: As :attr:`Case.name` has it.

    Raises:
        KeyError: There is none.
    """
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Case]:
    return {case.name: case for case in grid()}


def _vary(
    case: Case, *, samples: Iterable[int] = (), precisions: Iterable[str] = (), rules: Iterable[Rule] = ()
) -> list[Case]:
    """The case, and others that differ from it in one thing each."""
    return [
        case,
        *(replace(case, samples=count) for count in samples),
        *(replace(case, precision=precision) for precision in precisions),
        *(replace(case, rule=rule) for rule in rules),
    ]


def _documented() -> list[Case]:
    """Every documented model as its document trains it, with more samples, and in bf16."""
    cases = []
    for model, settings in DOCUMENTED.items():
        own = Case(Documented(model), *settings)
        cases += _vary(own, samples=[own.samples * 8 + 3], precisions=[] if model in BY_HAND else ["bf16"])
    known = Case(Documented("simple_cnn"), 64, "fp16", ADAM)
    cases += _vary(known, samples=[1, 512, 1000], precisions=["fp32", "tf32"], rules=[ADAMW, *OTHERS])
    return [*cases, replace(known, samples=256, micro_batches=4)]


DOCUMENTED: dict[str, tuple[int, str, Rule]] = {
    "mlp": (64, "fp32", ADAM),
    "simple_cnn": (64, "fp16", ADAM),
    "mnist_cnn": (32, "fp32", ADAM),
    "mnist_cnn_functional": (128, "fp32", ADAM),
    "cifar_cnn": (32, "fp32", ADAM),
    "conv_by_definition": (32, "fp32", ADAM),
    "autoencoder": (32, "fp32", ADAM),
    "transformer": (32, "fp32", ADAM),
    "bilstm_text": (32, "fp32", ADAM),
    "gated_rnn": (32, "fp32", ADAM),
    "linear_regression": (500, "fp32", SGD),
    "scratch_mlp": (32, "fp32", SGD),
    "relu_342": (2, "fp32", SGD),
    "sigmoid_342": (2, "fp32", SGD),
}
"""Each with its batch, number format and optimizer."""
BY_HAND = ("scratch_mlp", "relu_342", "sigmoid_342")
"""Those whose gradients are formulas, in full precision only."""


def _convolutional() -> list[Case]:
    resnet = Case(ResNet(), 32)
    odd = Case(ResNet(image=57, width=49, classes=37), 13)
    deep = Case(ResNet(blocks=(3, 4, 6, 3), bottleneck=True), 32)
    again = replace(deep, subject=replace(deep.subject, checkpointing=True))
    unet = Case(UNet(image=128), 8)
    return [
        *_vary(resnet, samples=[1, 7, 128], precisions=PRECISIONS, rules=OTHERS),
        *_vary(odd, precisions=["bf16", "fp16"], rules=[MOMENTUM]),
        *_vary(deep, samples=[5, 64], precisions=["tf32", "bf16"], rules=[MOMENTUM]),
        *_vary(again, samples=[64], precisions=["bf16"]),
        replace(deep, samples=64, micro_batches=4),
        *_vary(unet, samples=[3, 16], precisions=["tf32", "bf16", "fp16"], rules=[MOMENTUM]),
        *_vary(Case(UNet(image=104, width=24, depth=3, classes=3), 5), precisions=["bf16"]),
    ]


def _sequences() -> list[Case]:
    gpt = Case(GPT(), 16)
    dropping = Case(GPT(dropout=0.1), 16)
    odd = Case(GPT(vocabulary=5003, length=127, width=192, heads=3), 9)
    again = Case(GPT(checkpointing=True, length=512), 16)
    plain = replace(again, subject=GPT(length=512))
    bert, padded = Case(BERT(masked=False), 16), Case(BERT(dropout=0.1, length=96), 24)
    vit = Case(ViT(image=224), 32)
    lstm = Case(LSTM(), 32)
    return [
        *_vary(gpt, samples=[1, 64], precisions=PRECISIONS, rules=OTHERS),
        *_vary(dropping, precisions=["bf16"]),
        *_vary(odd, precisions=["bf16", "fp16"]),
        *_vary(plain, precisions=["bf16"]),
        *_vary(again, precisions=["bf16"]),
        replace(gpt, samples=64, micro_batches=4),
        *_vary(bert, precisions=["bf16", "fp16"]),
        *_vary(padded, samples=[1, 96], precisions=["bf16", "fp16"]),
        *_vary(vit, samples=[3, 128], precisions=["tf32", "bf16", "fp16"], rules=[MOMENTUM]),
        replace(vit, subject=ViT(image=224, checkpointing=True)),
        *_vary(lstm, samples=[5, 128], precisions=["bf16", "fp16"], rules=[MOMENTUM]),
        Case(LSTM(gru=True), 32),
        *_vary(Case(LSTM(bidirectional=True, width=200, length=90), 20), precisions=["bf16"]),
    ]


def _linear() -> list[Case]:
    odd = Case(MLP(), 77)
    wide = Case(MLP((4096, 4096, 4096, 1000)), 256)
    return [
        *_vary(odd, samples=[1, 1000], precisions=PRECISIONS),
        *_vary(wide, samples=[4096], precisions=["tf32", "bf16", "fp16"], rules=OTHERS),
    ]


def _large() -> list[Case]:
    """Of real size, among them the two whose peak is published: GPT-2 and BERT at 2 texts of 16 tokens."""
    gpt2 = GPT(vocabulary=50257, width=768, depth=12, heads=12, length=16)
    long = replace(gpt2, length=1024)
    bert = BERT(vocabulary=30522, width=768, depth=12, heads=12, length=16, masked=False)
    resnet50 = ResNet(blocks=(3, 4, 6, 3), bottleneck=True, image=224, classes=1000)
    return [
        Case(gpt2, 2, alone=True),
        Case(bert, 2, alone=True),
        *_vary(Case(long, 4), precisions=["bf16"], rules=[FUSED]),
        Case(replace(long, dropout=0.1), 4, "bf16"),
        Case(replace(long, checkpointing=True), 8, "bf16"),
        Case(replace(bert, length=512, dropout=0.1, masked=True), 8, "bf16"),
        *_vary(Case(resnet50, 32, "tf32", MOMENTUM), precisions=["bf16", "fp16"]),
        Case(replace(resnet50, blocks=(2, 2, 2, 2), bottleneck=False), 64, "fp16", MOMENTUM),
        Case(ViT(image=224, width=768, depth=12, heads=12, classes=1000), 32, "bf16"),
        Case(UNet(image=256, width=64, depth=5), 8, "bf16"),
        Case(LSTM(width=1024, layers=2, vocabulary=32000, length=256), 16, "fp32", ADAM),
    ]


def _traced() -> list[Case]:
    """Small and different ones: convolution, attention, recurrence, mixed precision, checkpointing, each optimizer."""
    small = ResNet(blocks=(1, 1, 1), width=32, image=48)
    gpt = GPT(width=128, depth=2, heads=2, vocabulary=2048)
    cases = [
        Case(Documented("mlp"), 64, "fp32", ADAM),
        Case(Documented("simple_cnn"), 64, "fp16", ADAM),
        Case(Documented("simple_cnn"), 512, "fp32", MOMENTUM),
        Case(Documented("transformer"), 32, "fp32", ADAM),
        Case(Documented("gated_rnn"), 32, "fp32", ADAM),
        Case(small, 64, "tf32", MOMENTUM),
        Case(replace(small, checkpointing=True), 64, "bf16"),
        Case(ResNet(), 32, "fp32", MOMENTUM),
        Case(gpt, 16),
        Case(gpt, 16, "bf16", FUSED),
        Case(gpt, 16, "fp16", LOOP),
        Case(replace(gpt, checkpointing=True), 16, "bf16", ADAM),
        Case(gpt, 32, "fp32", ADAM, micro_batches=4),
        Case(BERT(width=128, depth=2, heads=2, vocabulary=2048, dropout=0.1), 16, "bf16"),
        Case(UNet(image=96, width=16, depth=3), 7),
        Case(LSTM(width=160, vocabulary=1024, length=50), 17, "fp32", ADAM),
        Case(ViT(), 24, "bf16"),
        Case(MLP(), 77, "fp32", Rule("adafactor")),
    ]
    return [replace(case, traced=True) for case in cases]
