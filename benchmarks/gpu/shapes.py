"""The usual architectures in small: each is data, and builds its model and a batch (see :mod:`.subjects`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from benchmarks.gpu.layers import DoubleConvolution, PostNormBlock, PreNormBlock, Residual, through
from bigmodel_lab.training.objectives import Objective, objective_of


@dataclass(frozen=True)
class _Images:
    """Classes of random images."""

    image: int = 64
    """Width and height."""
    classes: int = 100

    objective: ClassVar[Objective] = objective_of("classification")

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """(B, 3, image, image) and (B,)."""
        x = torch.rand((samples, 3, self.image, self.image), device=device)
        return x, torch.randint(0, self.classes, (samples,), device=device)


@dataclass(frozen=True)
class _Tokens:
    """Random tokens; what follows each is learned."""

    vocabulary: int = 8192
    length: int = 128

    objective: ClassVar[Objective] = objective_of("next_token")

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """(B, length) twice."""
        x = torch.randint(1, self.vocabulary, (samples, self.length), device=device)
        return x, torch.randint(1, self.vocabulary, (samples, self.length), device=device)


@dataclass(frozen=True)
class ResNet(_Images):
    """Residual blocks with batch normalization (He et al. 2015); 2·2·2·2 is ResNet-18, 3·4·6·3 bottlenecks ResNet-50."""

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    bottleneck: bool = False
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """With depth, width and image."""
        kind = "b" if self.bottleneck else ""
        return f"resnet{kind}{''.join(map(str, self.blocks))}w{self.width}i{self.image}{_again(self.checkpointing)}"

    def build(self) -> nn.Module:
        """A new network."""
        return _ResNet(self)

    @property
    def stages(self) -> list[tuple[int, int, int]]:
        """(channels in, channels out, stride) of every block."""
        found, into = [], self.width
        for stage, count in enumerate(self.blocks):
            out = self.width * 2**stage * (4 if self.bottleneck else 1)
            for nth in range(count):
                found.append((into, out, 2 if nth == 0 and stage > 0 else 1))
                into = out
        return found


class _ResNet(nn.Module):
    def __init__(self, sizes: ResNet) -> None:
        super().__init__()
        self.checkpointing = sizes.checkpointing
        self.stem = nn.Sequential(
            nn.Conv2d(3, sizes.width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(sizes.width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        self.blocks = nn.ModuleList(Residual(*stage, bottleneck=sizes.bottleneck) for stage in sizes.stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.output = nn.Linear(sizes.stages[-1][1], sizes.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = through(self.blocks, self.stem(x), checkpointing=self.checkpointing)
        scores: Tensor = self.output(self.pool(x).flatten(1))
        return scores


@dataclass(frozen=True)
class ViT(_Images):
    """A vision transformer (Dosovitskiy et al. 2020): patches of 16×16, one token for the class."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    dropout: float = 0.0
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """With width, depth and image."""
        return f"vit{self.width}x{self.depth}i{self.image}{_again(self.checkpointing)}"

    def build(self) -> nn.Module:
        """A new network."""
        return _ViT(self)


class _ViT(nn.Module):
    def __init__(self, sizes: ViT) -> None:
        super().__init__()
        self.checkpointing = sizes.checkpointing
        self.patches = nn.Conv2d(3, sizes.width, 16, 16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.position = nn.Parameter(torch.zeros(1, (sizes.image // 16) ** 2 + 1, sizes.width))
        self.blocks = nn.ModuleList(
            PreNormBlock(sizes.width, sizes.heads, sizes.dropout, causal=False) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(sizes.width)
        self.output = nn.Linear(sizes.width, sizes.classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # (B, patches, width)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), tokens], 1) + self.position
        tokens = through(self.blocks, tokens, checkpointing=self.checkpointing)
        scores: Tensor = self.output(self.norm(tokens)[:, 0])
        return scores


@dataclass(frozen=True)
class UNet(_Images):
    """A U-Net (Ronneberger et al. 2015) that gives each pixel a class."""

    classes: int = 8
    width: int = 32
    depth: int = 4

    @property
    def name(self) -> str:
        """With width, depth and image."""
        return f"unet{self.width}x{self.depth}i{self.image}"

    def build(self) -> nn.Module:
        """A new network."""
        return _UNet(self)

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """(B, 3, image, image) and a class a pixel, (B, image, image)."""
        x = torch.rand((samples, 3, self.image, self.image), device=device)
        return x, torch.randint(0, self.classes, (samples, self.image, self.image), device=device)


class _UNet(nn.Module):
    def __init__(self, sizes: UNet) -> None:
        super().__init__()
        widths = [sizes.width * 2**level for level in range(sizes.depth)]
        self.down = nn.ModuleList(map(DoubleConvolution, [3, *widths[:-1]], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in reversed(widths[:-1]))
        self.join = nn.ModuleList(DoubleConvolution(2 * width, width) for width in reversed(widths[:-1]))
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Conv2d(sizes.width, sizes.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for level, step in enumerate(self.down):
            x = step(self.pool(x) if level else x)
            seen.append(x)
        for up, join, beside in zip(self.up, self.join, reversed(seen[:-1]), strict=True):
            x = join(torch.cat([beside, up(x)], 1))
        scores: Tensor = self.output(x)  # (B, classes, image, image)
        return scores


@dataclass(frozen=True)
class GPT(_Tokens):
    """GPT-2's decoder (Radford et al. 2019), the output sharing the weight of the embedding."""

    positions: int = 1024
    width: int = 256
    depth: int = 4
    heads: int = 4
    dropout: float = 0.0
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """With width, depth, vocabulary and length."""
        drop = "d" if self.dropout else ""
        return f"gpt{self.width}x{self.depth}v{self.vocabulary}t{self.length}{drop}{_again(self.checkpointing)}"

    def build(self) -> nn.Module:
        """A new network."""
        return _GPT(self)


class _GPT(nn.Module):
    def __init__(self, sizes: GPT) -> None:
        super().__init__()
        self.checkpointing = sizes.checkpointing
        self.token = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position = nn.Embedding(sizes.positions, sizes.width)
        self.blocks = nn.ModuleList(
            PreNormBlock(sizes.width, sizes.heads, sizes.dropout, causal=True) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(sizes.width)
        self.output = nn.Linear(sizes.width, sizes.vocabulary, bias=False)
        self.output.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = through(self.blocks, self.token(tokens) + self.position(places), checkpointing=self.checkpointing)
        scores: Tensor = self.output(self.norm(x))  # (B, T, vocabulary)
        return scores


@dataclass(frozen=True)
class BERT(_Tokens):
    """BERT's encoder with its head for hidden words (Devlin et al. 2018)."""

    positions: int = 512
    width: int = 256
    depth: int = 4
    heads: int = 4
    dropout: float = 0.0
    masked: bool = True
    """Padding is masked, as for texts of different lengths: attention gets a mask."""

    @property
    def name(self) -> str:
        """With width, depth, vocabulary and length."""
        kind = ("d" if self.dropout else "") + ("m" if self.masked else "")
        return f"bert{self.width}x{self.depth}v{self.vocabulary}t{self.length}{kind}"

    def build(self) -> nn.Module:
        """A new network."""
        return _BERT(self)


class _BERT(nn.Module):
    def __init__(self, sizes: BERT) -> None:
        super().__init__()
        width = sizes.width
        self.masked = sizes.masked
        self.token, self.kind = nn.Embedding(sizes.vocabulary, width), nn.Embedding(2, width)
        self.position = nn.Embedding(sizes.positions, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(sizes.dropout)
        self.blocks = nn.ModuleList(PostNormBlock(width, sizes.heads, sizes.dropout) for _ in range(sizes.depth))
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.output = nn.Linear(width, sizes.vocabulary)
        self.output.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(places) + self.kind(torch.zeros_like(tokens))
        mask = tokens.ne(0)[:, None, None, :] if self.masked else None  # (B, 1, 1, T)
        x = through(self.blocks, self.dropout(self.norm(x)), mask, checkpointing=False)
        scores: Tensor = self.output(self.transform(x))  # (B, T, vocabulary)
        return scores


@dataclass(frozen=True)
class LSTM(_Tokens):
    """A language model of LSTM layers, or GRU, in one direction or two."""

    width: int = 256
    layers: int = 2
    gru: bool = False
    bidirectional: bool = False

    @property
    def name(self) -> str:
        """With width, layers, vocabulary and length."""
        kind = ("bi" if self.bidirectional else "") + ("gru" if self.gru else "lstm")
        return f"{kind}{self.width}x{self.layers}v{self.vocabulary}t{self.length}"

    def build(self) -> nn.Module:
        """A new network."""
        return _LSTM(self)


class _LSTM(nn.Module):
    def __init__(self, sizes: LSTM) -> None:
        super().__init__()
        self.token = nn.Embedding(sizes.vocabulary, sizes.width)
        kind: type[nn.LSTM | nn.GRU] = nn.GRU if sizes.gru else nn.LSTM
        self.layers = kind(sizes.width, sizes.width, sizes.layers, batch_first=True, bidirectional=sizes.bidirectional)
        self.output = nn.Linear(sizes.width * (2 if sizes.bidirectional else 1), sizes.vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.layers(self.token(tokens))
        scores: Tensor = self.output(states)  # (B, T, vocabulary)
        return scores


@dataclass(frozen=True)
class MLP:
    """Linear layers of any widths, odd ones too."""

    widths: tuple[int, ...] = (1000, 1237, 1021, 100)

    objective: ClassVar[Objective] = objective_of("classification")

    @property
    def name(self) -> str:
        """With its widths."""
        return "linear" + "-".join(map(str, self.widths))

    def build(self) -> nn.Module:
        """A new network."""
        layers: list[nn.Module] = []
        for before, after in zip(self.widths, self.widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def batch(self, samples: int, device: str) -> tuple[Tensor, Tensor]:
        """(B, first width) and (B,)."""
        x = torch.rand((samples, self.widths[0]), device=device)
        return x, torch.randint(0, self.widths[-1], (samples,), device=device)


def _again(checkpointing: bool) -> str:
    return "ckpt" if checkpointing else ""
