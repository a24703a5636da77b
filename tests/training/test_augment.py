"""Turned, scaled and shifted images: against exact pictures, and only where they belong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.data import Data, Split, from_arrays
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.training.augment import Augmentation, AugmentedBatches, augmented, warp
from tests.training.fakes import FakeLog

NO_TURN, NO_SCALE, NO_SHIFT = torch.zeros(2), torch.ones(2), torch.zeros(2, 2)


@pytest.fixture
def pictures() -> torch.Tensor:
    """Two different images of 3 channels, 6 high and 4 wide."""
    return torch.rand(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images() -> Data:
    """40 grey images of 8×8 in uint8, with their channel."""
    numbers = torch.Generator().manual_seed(0)
    return from_arrays((torch.randint(0, 256, (40, 1, 8, 8), generator=numbers).to(torch.uint8), torch.arange(40) % 4))


def network() -> nn.Module:
    """Classifies 8×8 images, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def test_nothing_asked_nothing_changed(pictures):
    """Without turn, scale and shift the image is itself, but for rounding."""
    assert torch.allclose(warp(pictures, NO_TURN, NO_SCALE, NO_SHIFT), pictures, atol=1e-5)


def test_turn_against_the_clock():
    """A quarter turn is that of ``torch.rot90``."""
    square = torch.rand(2, 1, 5, 5)
    turned = warp(square, torch.tensor([90.0, -90.0]), NO_SCALE, NO_SHIFT)

    assert torch.allclose(turned[0], square[0].rot90(1, (1, 2)), atol=1e-4)
    assert torch.allclose(turned[1], square[1].rot90(-1, (1, 2)), atol=1e-4)


def test_turn_of_an_image_that_is_no_square(pictures):
    """Half a turn of a high image flips both sides and stretches nothing."""
    assert torch.allclose(warp(pictures, NO_TURN + 180, NO_SCALE, NO_SHIFT), pictures.flip(2, 3), atol=1e-4)


def test_quarter_turn_keeps_distances():
    """A point two pixels beside the middle of a wide image is two pixels above it after a quarter turn."""
    wide = torch.zeros(1, 1, 7, 11)
    wide[0, 0, 3, 7] = 1.0
    turned = warp(wide, torch.tensor([90.0]), torch.ones(1), torch.zeros(1, 2))

    assert turned[0, 0, 1, 5].item() == pytest.approx(1.0, abs=1e-4)


def test_shift_is_by_whole_pixels(pictures):
    """One pixel to the left and two upwards; what comes in is 0."""
    shifted = warp(pictures, NO_TURN, NO_SCALE, torch.tensor([[1.0, 2.0]] * 2))

    assert torch.allclose(shifted[:, :, :4, :3], pictures[:, :, 2:, 1:], atol=1e-5)
    assert torch.allclose(shifted[:, :, 4:], torch.zeros(2, 3, 2, 4), atol=1e-5)


def test_scale_makes_the_content_larger():
    """A square of 4 pixels in the middle covers 16 at twice the size."""
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3:5, 3:5] = 1.0
    larger = warp(image, torch.zeros(1), torch.full((1,), 2.0), torch.zeros(1, 2))

    assert larger.sum().item() == pytest.approx(16.0, abs=0.1)


def test_each_image_is_changed_by_its_own():
    """Equal images of a batch come out different, and within the limits."""
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1.0
    shifted = Augmentation(crop=2)(image.repeat(200, 1, 1, 1))
    places = {divmod(int(one.argmax()), 9) for one in shifted}

    assert places == {(row, column) for row in range(2, 7) for column in range(2, 7)}


def test_random_numbers_are_torchs_own():
    """The same state of torch's random numbers gives the same images."""
    images, change = torch.rand(4, 3, 8, 8), Augmentation(rotate=20, scale=0.2, crop=1)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(change(images))

    assert torch.equal(*results)


def test_run_changes_training_images_only(make, images):
    """Losses of training differ from those of a plain run; evaluation sees every image as it is."""
    logs = FakeLog(), FakeLog()
    plain = make(network(), log=logs[0], data=images, learning_rate=1e-9, optimizer="sgd", epochs=1)
    changed = make(
        network(),
        log=logs[1],
        data=images,
        learning_rate=1e-9,
        optimizer="sgd",
        epochs=1,
        augment={"rotate": 45, "scale": 0.3, "crop": 2},
    )
    plain.run(), changed.run()

    assert logs[0].streams["step"].column("loss") != logs[1].streams["step"].column("loss")
    assert plain.evaluate("train") == changed.evaluate("train")
    assert logs[0].streams["epoch"].column("validation_loss") == pytest.approx(
        logs[1].streams["epoch"].column("validation_loss"), rel=1e-6
    )


def test_reconstruction_learns_the_changed_image(images):
    """An image that is its own label is to be given back as it went in."""

    class Same:
        def __len__(self):
            return 40

        def take(self, index):
            x = torch.rand(len(index), 1, 8, 8)
            return x, x

    batches = AugmentedBatches(Same(), Augmentation(rotate=90))
    x, y = batches.take(torch.arange(5))

    assert x is y
    assert len(batches) == 40


def test_labels_stay(images):
    """A class remains the class of its changed image."""

    class Labelled(AugmentedBatches):
        def __init__(self):
            """Needs no batches of its own."""

        def take(self, index):
            return torch.rand(len(index), 1, 8, 8), index

    assert augmented(Labelled(), {"crop": 1}, images).take(torch.arange(3))[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "x",
    [torch.rand(20, 64), torch.zeros(20, 12, dtype=torch.int64), torch.rand(20, 32, 32, 3)],
    ids=["features", "tokens", "channels last"],
)
def test_samples_that_are_no_images_are_refused(x):
    """The message names the shape and what to do."""
    nothing = Split(x[:0], torch.zeros(0, dtype=torch.int64))
    data = Data("mine", "a test", Split(x, torch.zeros(20, dtype=torch.int64)), nothing, nothing, None, 2)

    with pytest.raises(ConfigError, match=r"samples of mine have shape \(.*Leave augment out"):
        augmented(AugmentedBatches(None, Augmentation()), {"crop": 1}, data)


def test_shift_must_leave_something(images):
    """A shift as large as the image would leave it empty."""
    with pytest.raises(ConfigError, match=r"crop is 8, but must be: smaller than the images of \(1, 8, 8\)"):
        augmented(AugmentedBatches(None, Augmentation()), {"crop": 8}, images)


def test_no_setting_no_work(images):
    """Without the setting the batches are those of the data."""
    batches = AugmentedBatches(None, Augmentation())

    assert augmented(batches, {}, images) is batches
