"""How the boxes that YOLO finds are judged: three losses over the cells of three grids.

The released code first throws away the cells that answer for no box; how many remain depends on the data. Here they
are weighted with 0 instead, so that all shapes are known beforehand. Both give the same loss.

Source: Ultralytics YOLOv5 documentation, "Architecture Summary", sections 4.1 to 4.3 (losses, boxes, targets); Zheng et al.
2020, Distance-IoU Loss, equations 10 and 11 (complete IoU).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

BOX, OBJECTNESS, CLASS = 0.05, 1.0, 0.5
"""Weights of the three losses as released for the small models."""
SAME_SIZE = 4.0
"""An anchor answers for boxes up to so many times as wide or high as itself, or as narrow or low."""


def grid_loss(raw: Tensor, boxes: Tensor, classes: Tensor, anchors: Tensor, balance: float) -> Tensor:
    """Loss of one grid, a scalar.

    Args:
        raw: What the network says: shape (B, anchors, rows, columns, 5 + number of classes), as x, y, width, height,
            objectness, classes, all before their sigmoid.
        boxes: True boxes, shape (B, boxes, 4), as centre x, y, width, height in parts of the image; width 0 is no box.
        classes: Number of the class of each box, shape (B, boxes).
        anchors: Width and height in cells, shape (anchors, 2).
        balance: Weight of this grid's objectness among the grids.
    """
    rows, columns = raw.shape[2:4]
    true = torch.stack([boxes[..., n] * (rows if n % 2 else columns) for n in range(4)], dim=2)  # in cells
    row, column, inside = _answering_cells(true, rows, columns)  # each (B, boxes, 3)
    weight = (_same_size(true, anchors).unsqueeze(3) & inside.unsqueeze(2)).to(raw.dtype)  # (B, boxes, anchors, 3)
    sample = torch.arange(raw.shape[0], device=raw.device)[:, None, None, None]
    anchor = torch.arange(raw.shape[1], device=raw.device)[:, None]
    place = sample, anchor, row.unsqueeze(2), column.unsqueeze(2)
    said = raw[place]  # (B, boxes, anchors, 3, 5 + classes)
    found = _decode(said[..., :4], torch.stack((column, row), dim=3).unsqueeze(2), anchors)
    overlap = complete_iou(found, true[:, :, None, None])  # (B, boxes, anchors, 3)
    box = _mean(1 - overlap, weight)
    cls = _mean(_class_loss(said[..., 5:], classes), weight)
    objectness = F.binary_cross_entropy_with_logits(raw[..., 4], _objectness(raw, place, overlap, weight))
    return BOX * box + OBJECTNESS * balance * objectness + CLASS * cls


def _answering_cells(true: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column of the box's own cell, the nearest beside it and the nearest above or below; which exist."""
    x, y = true[..., 0], true[..., 1]
    own_column, own_row = x.floor(), y.floor()
    beside = own_column + torch.where(x - own_column < 0.5, -1, 1)
    above_or_below = own_row + torch.where(y - own_row < 0.5, -1, 1)
    column = torch.stack((own_column, beside, own_column), dim=2)
    row = torch.stack((own_row, own_row, above_or_below), dim=2)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    return row.clamp(0, rows - 1).long(), column.clamp(0, columns - 1).long(), inside


def _same_size(true: Tensor, anchors: Tensor) -> Tensor:
    """Whether an anchor answers for a box, shape (B, boxes, anchors); none does for one of width 0."""
    ratio = true[:, :, None, 2:] / anchors  # (B, boxes, anchors, 2)
    return torch.maximum(ratio, 1 / ratio).amax(3) < SAME_SIZE


def _decode(said: Tensor, cell: Tensor, anchors: Tensor) -> Tensor:
    """Boxes in cells: the centre up to half a cell outside its cell, the size up to four times the anchor's."""
    strength = said.sigmoid()
    centre = cell + 2 * strength[..., :2] - 0.5
    size = (2 * strength[..., 2:]) ** 2 * anchors[:, None]
    return torch.cat((centre, size), dim=-1)


def complete_iou(found: Tensor, true: Tensor) -> Tensor:
    """Intersection over union, less for centres that are apart and for another aspect ratio; 1 for equal boxes.

    Args:
        found: Boxes as centre x, y, width, height in the last dimension.
        true: Likewise; both broadcast.

    >>> one = torch.tensor([2.0, 2.0, 2.0, 2.0])
    >>> round(float(complete_iou(one, one)), 4), round(float(complete_iou(one + torch.tensor([1.0, 0, 0, 0]), one)), 4)
    (1.0, 0.2564)
    """
    low_found, high_found = _corners(found)
    low_true, high_true = _corners(true)
    common = (torch.minimum(high_found, high_true) - torch.maximum(low_found, low_true)).clamp(min=0).prod(-1)
    union = found[..., 2:].prod(-1) + true[..., 2:].prod(-1) - common
    iou = common / (union + 1e-7)
    diagonal = (torch.maximum(high_found, high_true) - torch.minimum(low_found, low_true)).square().sum(-1)
    apart = (found[..., :2] - true[..., :2]).square().sum(-1) / (diagonal + 1e-7)
    shape = (4 / math.pi**2) * (_angle(found) - _angle(true)).square()
    share = (shape / (1 - iou + shape + 1e-7)).detach()
    return iou - apart - share * shape


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return centre - half, centre + half


def _angle(boxes: Tensor) -> Tensor:
    return torch.atan(boxes[..., 2] / (boxes[..., 3] + 1e-7))


def _class_loss(said: Tensor, classes: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the classes, shape (B, boxes, anchors, 3)."""
    numbers = torch.arange(said.shape[-1], device=said.device)
    target = (classes.unsqueeze(2) == numbers).to(said.dtype)[:, :, None, None].expand_as(said)
    return F.binary_cross_entropy_with_logits(said, target, reduction="none").mean(-1)


def _objectness(raw: Tensor, place: tuple[Tensor, ...], overlap: Tensor, weight: Tensor) -> Tensor:
    """How well each cell's box overlaps with what it answers for, 0 … 1; 0 for cells that answer for none."""
    sample, anchor, row, column = place
    _, anchors, rows, columns, _ = raw.shape
    flat = ((sample * anchors + anchor) * rows + row) * columns + column
    target = raw.new_zeros(raw.shape[:4])
    value = (overlap.detach().clamp(min=0) * weight).to(raw.dtype)
    return target.flatten().scatter_reduce(0, flat.flatten(), value.flatten(), "amax").view_as(target)


def _mean(losses: Tensor, weight: Tensor) -> Tensor:
    """Over the cells that answer for a box; 0 where none does."""
    return (losses * weight).sum() / weight.sum().clamp(min=1)
