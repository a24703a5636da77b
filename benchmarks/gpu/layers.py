"""Parts of the usual architectures, written small: what the shapes of :mod:`.shapes` are built of."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def through(blocks: Iterable[nn.Module], x: Tensor, *others: Tensor | None, checkpointing: bool) -> Tensor:
    """One block after the other; with checkpointing, what is inside them is computed again in the backward pass."""
    for block in blocks:
        x = checkpoint(block, x, *others, use_reentrant=False) if checkpointing else block(x, *others)
    return x


class Attention(nn.Module):
    """Multi-head self-attention by torch's fused product."""

    def __init__(self, width: int, heads: int, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What each place gathers from the others, (B, T, width); the mask is True where a key may be seen."""
        parts = self.query_key_value(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, H, width / H)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, H, T, width / H)
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=self.causal)
        gathered: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return gathered


class PreNormBlock(nn.Module):
    """A block of GPT-2 and ViT: normalizes before each part."""

    def __init__(self, width: int, heads: int, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout, causal=causal)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x), None))
        better: Tensor = x + self.dropout(self.narrow(F.gelu(self.widen(self.norm2(x)))))
        return better


class PostNormBlock(nn.Module):
    """A block of BERT: normalizes after each part; some places are padding."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout, causal=False)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, width) to the same shape; the mask as for the attention."""
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        better: Tensor = self.norm2(x + self.dropout(self.narrow(F.gelu(self.widen(x)))))
        return better


class Residual(nn.Module):
    """Convolutions with batch normalization, and a way around them."""

    def __init__(self, into: int, out: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        inner = out // 4 if bottleneck else out
        kernels = [(into, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)] if bottleneck else []
        kernels = kernels or [(into, inner, 3, stride), (inner, out, 3, 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, size, step, size // 2, bias=False) for before, after, size, step in kernels
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _, after, _, _ in kernels)
        same = into == out and stride == 1
        around = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.around: nn.Module = nn.Identity() if same else around

    def forward(self, x: Tensor) -> Tensor:
        """(B, into, H, W) to (B, out, H / stride, W / stride)."""
        inside = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            inside = F.relu(inside) if inside is not x else inside
            inside = norm(convolution(inside))
        return F.relu(inside + self.around(x))


class DoubleConvolution(nn.Sequential):
    """Two 3×3 convolutions with batch normalization and ReLU: the step of a U-Net."""

    def __init__(self, into: int, out: int) -> None:
        layers: list[nn.Module] = []
        for before in (into, out):
            layers += [nn.Conv2d(before, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        super().__init__(*layers)
