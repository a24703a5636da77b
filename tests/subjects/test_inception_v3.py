"""Inception v3 with its second classifier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.subjects.inception_v3 import SUBJECT, Beside, InceptionV3, loss
from tests.subjects.shapes import images, on_meta, outputs, weights


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Without a number."""
    return on_meta(InceptionV3)


def test_the_grids_are_35_17_and_8(model: nn.Module):
    """Groups of branches as in the paper's table 1."""
    groups = [shape for shape in outputs(model, images(2, 299), of=Beside) if shape[1] != 768 or shape[2] != 8]

    assert [shape[1:3] for shape in groups] == [
        (256, 35), (288, 35), (288, 35), *5 * [(768, 17)], (1280, 8), (2048, 8), (2048, 8),
    ]  # fmt: skip


def test_the_second_classifier_holds_its_weights(model: nn.Module):
    """Without it there are 23,834,568, as the model is published for inference."""
    assert weights(model) - weights(model.second) == 23_834_568


def test_the_second_classifier_reads_the_17x17_grid(model: nn.Module):
    """Its pooling leaves 5×5, its convolution one place."""
    found = outputs(model.second, torch.empty(2, 768, 17, 17, device="meta"), of=(nn.AvgPool2d, nn.Conv2d))

    assert found == [(2, 768, 5, 5), (2, 128, 5, 5), (2, 768, 1, 1)]


def test_outside_training_there_is_no_second_classifier():
    """Nothing is computed for it."""
    model = on_meta(InceptionV3).eval()
    scores, second = model(images(1, 299))

    assert scores.shape == (1, 1000)
    assert second is None


def test_one_sample_is_too_few():
    """The batch normalization of the second classifier sees one place; two samples give it something to compare."""
    assert SUBJECT.fewest_samples == 2
    with pytest.raises(ConfigError, match="samples is 1, and it must be at least 2"):
        SUBJECT.example(1)


class Fixed(nn.Module):
    """Gives the same scores whatever it sees."""

    def __init__(self, scores: Tensor, second: Tensor | None) -> None:
        super().__init__()
        self.scores, self.second = scores, second

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Both scores."""
        return self.scores, self.second


def test_the_second_loss_counts_four_tenths():
    """Both with labels smoothed by 0.1."""
    scores, second, labels = torch.randn(3, 5), torch.randn(3, 5), torch.tensor([0, 4, 2])
    batch = {"images": torch.zeros(3, 1), "labels": labels}
    first, other = (F.cross_entropy(s, labels, label_smoothing=0.1) for s in (scores, second))

    torch.testing.assert_close(loss(Fixed(scores, second), batch), first + 0.4 * other)
    torch.testing.assert_close(loss(Fixed(scores, None), batch), first)
