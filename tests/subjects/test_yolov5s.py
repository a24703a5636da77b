"""YOLOv5s: its grids, and how its boxes are judged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.subjects._boxes import complete_iou, grid_loss
from bigmodel_lab.subjects.yolov5s import GRIDS, Split, YOLOv5s
from bigmodel_lab.subjects.yolov5s import batch as example
from tests.subjects.shapes import images, on_meta, outputs, weights

ANCHORS = torch.tensor([[1.0, 1.0], [2.0, 2.0], [8.0, 8.0]])
CLASSES = 3


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Without a number."""
    return on_meta(YOLOv5s)


# the network


def test_three_grids_say_85_numbers_an_anchor(model: nn.Module):
    """Box, objectness and 80 classes, on cells of 8, 16 and 32 pixels."""
    assert [tuple(said.shape) for said in model(images(2, 640))] == [
        (2, 3, 80, 80, 85), (2, 3, 40, 40, 85), (2, 3, 20, 20, 85),
    ]  # fmt: skip


def test_the_image_is_halved_five_times(model: nn.Module):
    """Four C3 parts stand in the backbone, four behind it."""
    found = outputs(model, images(1, 640), of=Split)

    assert [shape[1:3] for shape in found] == [
        (64, 160), (128, 80), (256, 40), (512, 20), (256, 40), (128, 80), (256, 40), (512, 20),
    ]  # fmt: skip


def test_the_heads_have_the_published_weights(model: nn.Module):
    """229,245, as the training log of the release prints them."""
    assert weights(model.heads) == 229_245


def test_anchors_are_kept_in_cells():
    """Of the finest grid: 10×13 pixels are 1.25×1.625 cells of 8."""
    anchors = YOLOv5s().anchors

    assert anchors.shape == (3, 3, 2)
    assert anchors[0, 0].tolist() == [1.25, 1.625]
    assert not anchors.requires_grad


@pytest.mark.parametrize(("height", "width"), [(600, 640), (640, 33)])
def test_images_must_be_multiples_of_32(height: int, width: int):
    """Otherwise the grids do not fit onto each other."""
    with pytest.raises(ConfigError, match=f"{height}×{width} do not fit: yolov5s takes multiples of 32"):
        example(1, height=height, width=width, boxes=1)


def test_a_32nd_of_the_size_may_be_odd(model: nn.Module):
    """Any multiple of 32 will do, also upright."""
    said = model(torch.empty(1, 3, 96, 160, device="meta"))

    assert [tuple(grid.shape[2:4]) for grid in said] == [(12, 20), (6, 10), (3, 5)]


def test_finer_grids_count_more():
    """Small objects are harder to find: 4.0, 1.0 and 0.4."""
    assert [balance for _, _, balance, _ in GRIDS] == [4.0, 1.0, 0.4]


# the loss of one grid


def raw(rows: int = 4, columns: int = 4) -> Tensor:
    """A network that says nothing: certain of no object anywhere."""
    said = torch.zeros(1, 3, rows, columns, 5 + CLASSES)
    said[..., 4] = -20.0
    return said


def judged(said: Tensor, box: tuple[float, float, float, float], label: int = 1, balance: float = 1.0) -> float:
    """Loss of an image with one box, given as x, y, width, height in cells of a 4×4 grid."""
    boxes = torch.tensor([[box]]) / 4
    return float(grid_loss(said, boxes, torch.tensor([[label]]), ANCHORS, balance))


def test_a_network_that_is_certain_of_nothing_is_right_where_there_is_nothing():
    """A box of width 0 stands for none."""
    assert judged(raw(), (0, 0, 0, 0)) == pytest.approx(0, abs=1e-6)


def test_a_missed_object_costs():
    """Objectness, box and class."""
    assert judged(raw(), (1.5, 1.5, 1, 1)) > 0.3


def perfect() -> Tensor:
    """Says the box 1×1 around (1.5, 1.5), class 1, at the cells and anchors that answer for it."""
    said = raw()
    odds = {1.0: 0.0, 2.0: -0.6035}  # σ = ½ gives the anchor's own size, σ = √⅛ half of it
    for anchor, side in enumerate((1.0, 2.0)):
        for row, column in ((1, 1), (1, 2), (2, 1)):
            at = said[0, anchor, row, column]
            at[0], at[1] = ((1.5 - cell + 0.5) / 2 for cell in (column, row))  # parts 0 … 1, before the logit
            at[:2] = at[:2].clamp(1e-4, 1 - 1e-4).logit()
            at[2:4] = odds[side]
            at[4:] = torch.tensor([20.0, -20.0, 20.0, -20.0])
    return said


def test_an_object_that_is_found_costs_nothing():
    """The cell of its centre, and the nearest beside and below, with every anchor of about its size."""
    assert judged(perfect(), (1.5, 1.5, 1, 1)) == pytest.approx(0, abs=2e-3)


def test_another_class_costs():
    """Found, and taken for something else."""
    assert judged(perfect(), (1.5, 1.5, 1, 1), label=2) > 5


def test_an_anchor_of_another_size_does_not_answer():
    """8×8 cells are more than four times 1×1: what is said there costs its objectness alone."""
    said = perfect()
    said[0, 2, 1, 1, 5:] = 100.0

    assert judged(said, (1.5, 1.5, 1, 1)) == pytest.approx(judged(perfect(), (1.5, 1.5, 1, 1)))


def test_the_balance_weighs_the_objectness():
    """Where nothing is to be found it is all there is."""
    said = raw()
    said[..., 4] = 0.0

    assert judged(said, (0, 0, 0, 0), balance=4.0) == pytest.approx(4 * judged(said, (0, 0, 0, 0)))


def test_padded_boxes_change_nothing():
    """Images of a batch may have different numbers of objects."""
    box = torch.tensor([1.5, 1.5, 1, 1]) / 4
    alone = grid_loss(raw(), box[None, None], torch.tensor([[1]]), ANCHORS, 1.0)
    padded = grid_loss(raw(), torch.stack((box, torch.zeros(4)))[None], torch.tensor([[1, 0]]), ANCHORS, 1.0)

    torch.testing.assert_close(alone, padded)


def test_a_box_at_the_border_has_no_cell_outside():
    """Its left neighbour does not exist; the loss stays finite and its gradient too."""
    said = raw().requires_grad_()
    loss = grid_loss(said, torch.tensor([[[0.05, 0.05, 0.2, 0.2]]]), torch.tensor([[0]]), ANCHORS, 1.0)
    loss.backward()

    assert loss.isfinite()
    assert said.grad.isfinite().all()


def test_gradient_descent_finds_the_box():
    """From nothing: after some steps the best cell says where the object is, how large, and what."""
    said = raw().requires_grad_()
    boxes, classes = torch.tensor([[[1.3, 2.6, 2.4, 1.8]]]) / 4, torch.tensor([[2]])
    optimizer = torch.optim.Adam([said], 0.3)
    for _ in range(150):
        optimizer.zero_grad()
        grid_loss(said, boxes, classes, ANCHORS, 1.0).backward()
        optimizer.step()
    best = said[0, 1, 2, 1].detach()  # the anchor of 2×2 in the cell of the centre
    strength = best.sigmoid()

    assert (2 * strength[:2] - 0.5 + torch.tensor([1, 2])).tolist() == pytest.approx([1.3, 2.6], abs=0.05)
    assert ((2 * strength[2:4]) ** 2 * 2).tolist() == pytest.approx([2.4, 1.8], rel=0.05)
    assert int(best[5:].argmax()) == 2


@pytest.mark.parametrize(
    ("x", "y", "cells"),
    [
        (1.2, 2.2, [(2, 1), (2, 0), (1, 1)]),  # upper left part of its cell
        (1.8, 2.2, [(2, 1), (2, 2), (1, 1)]),  # upper right
        (1.2, 2.8, [(2, 1), (2, 0), (3, 1)]),  # lower left
        (1.8, 2.8, [(2, 1), (2, 2), (3, 1)]),  # lower right
    ],
)
def test_three_cells_answer_for_a_box(x: float, y: float, cells: list[tuple[int, int]]):
    """Its own, the nearest beside and the nearest above or below: only there the boxes have a slope."""
    said = raw().requires_grad_()
    grid_loss(said, torch.tensor([[[x, y, 1.0, 1.0]]]) / 4, torch.tensor([[0]]), ANCHORS, 1.0).backward()
    touched = {(row, column) for _, _, row, column, number in said.grad.nonzero().tolist() if number < 4}

    assert touched == set(cells)


def test_images_of_a_batch_do_not_mix():
    """A box of the second image has no slope in the first."""
    said = raw().repeat(2, 1, 1, 1, 1).requires_grad_()
    boxes = torch.stack((torch.zeros(1, 4), torch.tensor([[1.5, 1.5, 1.0, 1.0]]) / 4))
    grid_loss(said, boxes, torch.zeros(2, 1, dtype=torch.int64), ANCHORS, 1.0).backward()

    assert not said.grad[0, ..., :4].any()
    assert said.grad[1, ..., :4].any()


def test_of_two_boxes_in_a_cell_the_better_overlap_is_the_objectness():
    """Whatever their order."""
    near, far = [1.5, 1.5, 1.0, 1.0], [1.9, 1.9, 1.0, 1.0]
    losses = [
        grid_loss(raw(), torch.tensor([boxes]) / 4, torch.tensor([[1, 1]]), ANCHORS, 1.0)
        for boxes in ([near, far], [far, near])
    ]

    torch.testing.assert_close(losses[0], losses[1])


# the overlap of boxes


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((2.0, 2.0, 2.0, 2.0), 1.0),  # equal
        ((4.0, 2.0, 2.0, 2.0), -4 / 20),  # beside: no overlap, centres 2 apart, diagonal² 4² + 2²
        ((2.0, 2.0, 1.0, 1.0), 0.25),  # within, same centre, same shape
    ],
)
def test_complete_iou_by_hand(found: tuple[float, ...], expected: float):
    """Overlap, less the distance of the centres; against a box of 2×2 at (2, 2)."""
    iou = complete_iou(torch.tensor(found), torch.tensor([2.0, 2.0, 2.0, 2.0]))

    assert float(iou) == pytest.approx(expected, abs=1e-4)


def test_another_shape_lowers_the_iou():
    """The same area and centre, twice as wide as high: less than the plain overlap of 2·√2 in 4·2 − 2·√2."""
    wide = torch.tensor([2.0, 2.0, 2 * 2**0.5, 2 / 2**0.5])

    assert float(complete_iou(wide, torch.tensor([2.0, 2.0, 2.0, 2.0]))) < 2.828427 / (8 - 2.828427)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_the_iou_of_boxes_has_a_slope_wherever_they_are(shift: float):
    """Also where they do not overlap at all: that is what the distance of the centres is for."""
    found = torch.tensor([2.0 + shift, 2.0, 1.0, 1.0], requires_grad=True)
    complete_iou(found, torch.tensor([2.0, 2.0, 1.0, 1.0])).backward()

    assert found.grad[0] < 0  # nearer is better
