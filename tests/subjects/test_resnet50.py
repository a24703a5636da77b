"""ResNet-50."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.subjects.resnet50 import Bottleneck, ResNet50
from tests.subjects.shapes import images, kept_bytes, on_meta, outputs


def test_stages_are_as_published():
    """3, 4, 6 and 3 blocks of the sizes of the paper's table 1."""
    found = outputs(on_meta(ResNet50), images(2, 224), of=Bottleneck)

    assert found == 3 * [(2, 256, 56, 56)] + 4 * [(2, 512, 28, 28)] + 6 * [(2, 1024, 14, 14)] + 3 * [(2, 2048, 7, 7)]


def test_fifty_layers_have_weights():
    """One convolution at the start, three a block, one linear layer; four more bring inputs to a new size."""
    layers = list(on_meta(ResNet50).modules())

    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 1 + 3 * 16 + 4
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == 1


def test_a_block_that_adds_nothing_gives_back_its_input():
    """That is what makes fifty layers trainable."""
    block = Bottleneck(8, 2, stride=1)
    nn.init.zeros_(block.widen[1].weight)
    x = torch.randn(2, 8, 4, 4)

    torch.testing.assert_close(block(x.clone()), F.relu(x))


def test_the_step_of_2_stands_at_the_3x3():
    """As nearly everyone runs it; the paper has it at the 1×1 before."""
    block = Bottleneck(8, 2, stride=2)

    assert block.narrow[0].stride == (1, 1)
    assert block.look[0].stride == (2, 2)


def test_only_the_first_block_of_a_stage_changes_its_input():
    """All others add the input itself."""
    changed = [not isinstance(block.shortcut, nn.Identity) for block in on_meta(ResNet50).blocks]

    assert [n for n, change in enumerate(changed) if change] == [0, 3, 7, 13]


def test_larger_images_pass():
    """The mean over the places takes any size."""
    assert on_meta(ResNet50)(images(1, 320)).shape == (1, 1000)


def test_a_forward_pass_keeps_about_85_mib_an_image():
    """Two maps a convolution, before and behind its normalization; what is added in place is kept once."""
    model = on_meta(ResNet50)
    kept = [kept_bytes(lambda n=n: model(images(n, 224)).sum()) for n in (1, 2)]

    assert (kept[1] - kept[0]) / 2**20 == pytest.approx(85, abs=5)


def test_classes_can_be_chosen():
    """Only the linear layer changes."""
    assert on_meta(lambda: ResNet50(classes=10))(images(3, 64)).shape == (3, 10)
