"""Deep Speech 2."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.subjects.deep_speech_2 import DeepSpeech2, Normalized, Recurrent, batch, loss
from tests.subjects.shapes import on_meta, outputs


def small() -> nn.Module:
    """Three units, two recurrent layers."""
    torch.manual_seed(0)
    return DeepSpeech2(units=3, layers=2)


def test_convolutions_halve_time_once_and_frequency_three_times():
    """161 frequencies become 21."""
    spectrograms = torch.empty(2, 1, 161, 100, device="meta")
    found = outputs(on_meta(lambda: DeepSpeech2(8, 1)).listen, spectrograms, of=nn.Conv2d)

    assert found == [(2, 32, 81, 50), (2, 32, 41, 50), (2, 96, 21, 50)]


def test_seven_layers_of_1760_units_read_both_ways():
    """The first reads 96 channels of 21 frequencies."""
    layers = [layer.read for layer in on_meta(DeepSpeech2).modules() if isinstance(layer, Recurrent)]

    assert [layer.input_size for layer in layers] == [2016, *6 * [1760]]
    assert {(layer.hidden_size, layer.bidirectional, layer.nonlinearity) for layer in layers} == {(1760, True, "relu")}


def test_both_ways_are_added():
    """Not set side by side: the next layer is as wide as one way."""
    layer = Recurrent(4, 3)
    x = torch.randn(5, 2, 4)
    both, _ = layer.read(layer.norm(x))

    torch.testing.assert_close(layer(x), both[..., :3] + both[..., 3:])


def test_features_are_normalized_over_samples_and_steps():
    """Mean 0 and variance 1 of each."""
    x = Normalized(4)(torch.randn(50, 6, 4) * 7 + 3).flatten(0, 1)

    torch.testing.assert_close(x.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var(0, unbiased=False), torch.ones(4), atol=1e-3, rtol=0)


def test_letters_of_a_step_are_chances():
    """They add up to 1, one step for two frames."""
    log_probabilities = small()(torch.randn(2, 1, 161, 12))

    assert log_probabilities.shape == (6, 2, 29)
    torch.testing.assert_close(log_probabilities.exp().sum(2), torch.ones(6, 2))


def test_it_learns_to_spell():
    """A few steps on one utterance lower the loss: the parts work together with numbers."""
    model, given = small(), {"spectrograms": torch.randn(2, 1, 161, 16), "letters": torch.tensor([[3, 1], [2, 20]])}
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(loss(model, given))
        losses[-1].backward()
        optimizer.step()

    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("frames", "steps"), [(9, 5), (10, 5), (11, 6)])
def test_steps_are_half_of_the_frames_rounded_up(frames: int, steps: int):
    """What the texts must fit into."""
    with torch.device("meta"):
        model, given = DeepSpeech2(8, 1), batch(1, frames=frames, letters=2)

    assert model(given["spectrograms"]).shape == (steps, 1, 29)
