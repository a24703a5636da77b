"""YOLOv5s: finds the objects of an image in one pass, on three grids for small, middle and large ones.

Shapes of one sample; batch normalization (ε 0.001) and SiLU follow each convolution, "C3 × n" is a :class:`Split` with n blocks::

    backbone  3×640×640 → 32×320×320 → 64×160×160, C3 × 1 → 128×80×80, C3 × 2 (a) → 256×40×40, C3 × 3 (b)
              → 512×20×20, C3 × 1 → pooling over 5, 9 and 13 places → 512×20×20
    upwards   → 1×1 256 (c) → twice as large, with b → C3 × 1 → 1×1 128 (d) → twice as large, with a → C3 × 1 → 128×80×80
    downwards → half as large, with d → C3 × 1 → 256×40×40 → half as large, with c → C3 × 1 → 512×20×20
    heads     1×1 convolution of each of the last three: 3 anchors × (box 4, objectness 1, classes 80) at each cell

Source: Ultralytics YOLOv5, release 6.0, documentation page "Architecture Summary" (there is no paper): depth 0.33 and width
0.50 of the large model; 7,235,389 weights in its training log. Its parts: Redmon and Farhadi 2018, YOLOv3 (grids,
anchors); Wang et al. 2020, CSPNet (C3); Liu et al. 2018, Path Aggregation Network (upwards and downwards). Written from these
descriptions; none of the released code, whose licence differs, is used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.subjects._boxes import grid_loss
from bigmodel_lab.subjects._layers import conv_norm
from bigmodel_lab.subjects.base import Batch, Subject

CLASSES = 80
"""Classes of COCO (Lin et al. 2014)."""
GRIDS = (
    (128, 8, 4.0, ((10, 13), (16, 30), (33, 23))),
    (256, 16, 1.0, ((30, 61), (62, 45), (59, 119))),
    (512, 32, 0.4, ((116, 90), (156, 198), (373, 326))),
)
"""Channels, pixels of a cell, weight of its objectness, and width and height of the anchors in pixels of each grid."""
STRIDE = 32
"""Pixels of the largest cell: images are a multiple of it wide and high."""


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int | None = None) -> nn.Sequential:
    """Convolution, batch normalization with ε 0.001, SiLU."""
    return conv_norm(inputs, outputs, kernel, nn.SiLU(inplace=True), stride=stride, padding=padding, eps=1e-3)


class Block(nn.Module):
    """1×1 and 3×3, in the backbone added to the input."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.look = nn.Sequential(conv(channels, channels), conv(channels, channels, 3))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """From and to (B, channels, H, W)."""
        seen: Tensor = self.look(x)
        return x + seen if self.residual else seen


class Split(nn.Module):
    """C3: half of the channels pass through the blocks, half beside them."""

    def __init__(self, inputs: int, outputs: int, blocks: int = 1, *, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.through = nn.Sequential(conv(inputs, half), *(Block(half, residual=residual) for _ in range(blocks)))
        self.beside = conv(inputs, half)
        self.join = conv(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H, W)."""
        joined: Tensor = self.join(torch.cat((self.through(x), self.beside(x)), dim=1))
        return joined


class Pyramid(nn.Module):
    """SPPF: the maximum over 5×5 taken once, twice and thrice, beside the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = conv(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.join = conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """From and to (B, channels, H, W)."""
        views = [self.narrow(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        joined: Tensor = self.join(torch.cat(views, dim=1))
        return joined


class Backbone(nn.Module):
    """Five halvings of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.to_8 = nn.Sequential(
            conv(3, 32, 6, 2, padding=2), conv(32, 64, 3, 2), Split(64, 64), conv(64, 128, 3, 2), Split(128, 128, 2)
        )
        self.to_16 = nn.Sequential(conv(128, 256, 3, 2), Split(256, 256, 3))
        self.to_32 = nn.Sequential(conv(256, 512, 3, 2), Split(512, 512), Pyramid(512))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at an eighth, (B, 128, …), a sixteenth, (B, 256, …), and a 32nd, (B, 512, …), of the size."""
        eighth = self.to_8(images)
        sixteenth = self.to_16(eighth)
        return eighth, sixteenth, self.to_32(sixteenth)


class Neck(nn.Module):
    """What the coarse grid knows goes up to the fine ones, and what these know goes down again."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow_32, self.join_16 = conv(512, 256), Split(512, 256, residual=False)
        self.narrow_16, self.join_8 = conv(256, 128), Split(256, 128, residual=False)
        self.down_16, self.rejoin_16 = conv(128, 128, 3, 2), Split(256, 256, residual=False)
        self.down_32, self.rejoin_32 = conv(256, 256, 3, 2), Split(512, 512, residual=False)

    def forward(self, at_8: Tensor, at_16: Tensor, at_32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the three grids, of the shapes that came in."""
        narrow_32 = self.narrow_32(at_32)  # (B, 256, 20, 20)
        narrow_16 = self.narrow_16(self.join_16(torch.cat((_doubled(narrow_32), at_16), dim=1)))  # (B, 128, 40, 40)
        small = self.join_8(torch.cat((_doubled(narrow_16), at_8), dim=1))  # (B, 128, 80, 80)
        middle = self.rejoin_16(torch.cat((self.down_16(small), narrow_16), dim=1))  # (B, 256, 40, 40)
        large = self.rejoin_32(torch.cat((self.down_32(middle), narrow_32), dim=1))  # (B, 512, 20, 20)
        return small, middle, large


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class YOLOv5s(nn.Module):
    """Backbone, neck, one head a grid."""

    anchors: Tensor

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck()
        self.heads = nn.ModuleList(nn.Conv2d(grid[0], len(grid[3]) * (5 + classes), 1) for grid in GRIDS)
        in_cells = [[[side / pixels for side in anchor] for anchor in found] for _, pixels, _, found in GRIDS]
        self.register_buffer("anchors", torch.tensor(in_cells))  # (grids, anchors, 2)

    def forward(self, images: Tensor) -> list[Tensor]:
        """What is said at each cell, one tensor a grid, shape (B, anchors, rows, columns, 5 + classes).

        Args:
            images: Shape (B, 3, height, width), both multiples of 32.
        """
        features = self.neck(*self.backbone(images))
        said = (head(x) for head, x in zip(self.heads, features, strict=True))
        return [x.unflatten(1, (self.anchors.shape[1], -1)).permute(0, 1, 3, 4, 2) for x in said]


def batch(samples: int, *, height: int, width: int, boxes: int) -> Batch:
    """Images and the boxes in them, padded to one number of boxes; a box of width 0 is none.

    Raises:
        ConfigError: The images are no multiple of 32 wide or high.

    >>> {name: tuple(tensor.shape) for name, tensor in batch(2, height=640, width=640, boxes=8).items()}
    {'images': (2, 3, 640, 640), 'boxes': (2, 8, 4), 'classes': (2, 8)}
    """
    if height % STRIDE or width % STRIDE:
        raise ConfigError(
            text(
                "error.subject_stride",
                "Images of {height}×{width} do not fit: yolov5s takes multiples of {stride}, for example 640×640.",
                height=height,
                width=width,
                stride=STRIDE,
            )
        )
    return {
        "images": torch.zeros(samples, 3, height, width),
        "boxes": torch.full((samples, boxes, 4), 0.5),
        "classes": torch.zeros(samples, boxes, dtype=torch.int64),
    }


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Sum over the grids of the losses of boxes, objectness and classes."""
    said = model(batch["images"])
    anchors = model.get_buffer("anchors")
    losses = [grid_loss(raw, batch["boxes"], batch["classes"], anchors[n], GRIDS[n][2]) for n, raw in enumerate(said)]
    return torch.stack(losses).sum()


SUBJECT = Subject(
    name="yolov5s",
    build=YOLOv5s,
    batch=batch,
    loss=loss,
    parameters=7_235_389,
    inputs=Text("subject.yolov5s.inputs", "A colour image, 3×640×640, and the boxes of up to 8 objects."),
    source="Ultralytics YOLOv5, release 6.0, documentation, Architecture Summary",
    idea=Text(
        "subject.yolov5s.idea",
        "Finds small, middle and large objects on three grids in one pass; features go up and down between the grids.",
    ),
    training=Text("subject.yolov5s.training", "SGD with momentum 0.937, batches of 64 images."),
    sizes={"height": 640, "width": 640, "boxes": 8},
)
