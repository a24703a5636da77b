"""A micro-batch of one sample and a batch normalization that needs two: refused before a run, with a size that works."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.data import from_arrays
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import Status


def with_norm() -> nn.Module:
    """A batch normalization over (samples, channels), as after a linear layer."""
    return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


@pytest.mark.parametrize(("size", "instead"), [(16, 15), (80, 79), (2, 3), (1, 3)])
def test_a_sample_left_alone_is_refused_where_a_norm_needs_two(make, size, instead):
    """81 samples leave 1 in each of these sizes; the message names the layer and the nearest size without that."""
    with pytest.raises(ConfigError, match=rf"'1' needs at least 2 .* 81 .* of {size} .*micro_batch_size={instead}\."):
        make(with_norm(), micro_batch_size=size)


@pytest.mark.parametrize("size", [15, 79, 3])
def test_the_size_that_the_message_names_trains(make, size):
    """What was said to do helps: a whole epoch with its last batch."""
    make(with_norm(), micro_batch_size=size, epochs=1).run()


def test_a_micro_batch_alone_counts_also_within_a_larger_step(make):
    """81 samples in steps of 2 times 16 end in 16 and 1."""
    with pytest.raises(ConfigError, match=r"micro_batch_size=15"):
        make(with_norm(), gradient_accumulation_steps=2)


def test_a_single_training_sample_needs_more_of_them(make, data):
    """No size helps; the message says what does."""
    one = {"train": data.train.select(torch.arange(1)), "validation": data.validation, "test": data.test}
    with pytest.raises(ConfigError, match=r"1 training samples.*Give more training samples"):
        make(with_norm(), data=from_arrays(one))


def test_a_run_that_ends_before_the_lonely_sample_is_allowed(make):
    """The sixth step of an epoch would be it; five are made."""
    assert make(with_norm(), max_steps=5).run() is Status.FINISHED


def test_a_run_that_ends_with_the_lonely_sample_is_refused(make):
    """Six steps are a whole epoch."""
    with pytest.raises(ConfigError, match="needs at least 2 samples"):
        make(with_norm(), max_steps=6)


def test_a_norm_over_places_takes_a_single_sample(make):
    """Each channel of an image has many values; nothing is refused that torch computes."""
    images = from_arrays((torch.rand(81 + 20, 1, 4, 4), torch.arange(101) % 10))
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 10))
    trainer = make(model, data=images, micro_batch_size=len(images.train) - 1, epochs=1)

    assert trainer.run() is Status.FINISHED


def test_a_norm_over_one_place_needs_two_samples(make):
    """An image of a single pixel has one value a channel: what counts are values, not the kind of the layer."""
    model = nn.Sequential(nn.Unflatten(1, (64, 1, 1)), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ConfigError, match="batch normalization '1'"):
        make(model)


def test_a_frozen_norm_takes_a_single_sample(make):
    """It keeps its running mean, so it has no variance to take."""
    assert make(with_norm(), freeze=("1",), epochs=1).run() is Status.FINISHED


def test_a_norm_that_the_person_put_into_evaluation_mode_takes_a_single_sample(make):
    """The run leaves it in that mode."""
    model = with_norm()
    model[1].eval()

    assert make(model, epochs=1).run() is Status.FINISHED


def test_a_whole_model_in_evaluation_mode_learns_all_the_same(make):
    """The run puts it to training, so its norm needs two samples."""
    with pytest.raises(ConfigError, match="needs at least 2 samples"):
        make(with_norm().eval())


def test_a_norm_called_by_keyword_is_no_obstacle(make):
    """Nothing is known of its input; the model is trained as it is."""

    class ByKeyword(nn.Sequential):
        """Names the argument."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Linear, norm, linear."""
            return self[2](self[1](input=self[0](x)))

    assert make(ByKeyword(*with_norm()), micro_batch_size=27, epochs=1).run() is Status.FINISHED


def test_asking_leaves_no_hook_on_the_model(make):
    """The model is the person's own and is as fast as before."""
    model = with_norm()
    make(model, micro_batch_size=27)

    assert not model[1]._forward_pre_hooks
