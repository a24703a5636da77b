"""What the benchmark of the documented models says of what was reached."""

import pytest

from benchmarks.measuring.documents import Result, generated_images, measure
from benchmarks.measuring.goals import judge


def result(model: str, data: str, *values: float) -> Result:
    """A model that reached these accuracies."""
    return Result(model, data, "accuracy", values, values, 10, 1.0, 100.0, None)


def test_a_mean_over_seeds_has_its_t_interval() -> None:
    """For 0.94, 0.95 and 0.96: 4.303 standard errors of 0.01 / √3."""
    reached = result("mlp", "digits", 0.94, 0.95, 0.96)

    assert reached.mean == pytest.approx(0.95)
    assert reached.half_width == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)


def test_one_seed_has_no_interval() -> None:
    """One value says nothing about its spread."""
    assert result("mlp", "digits", 0.9).half_width is None


def test_the_goal_is_asked_of_the_mean() -> None:
    """Half a percent below the goal of the mlp fails, at the goal passes."""
    assert [passed for passed, _ in judge([result("mlp", "digits", 0.945), result("mlp", "digits", 0.95)])] == [
        False,
        True,
    ]


def test_a_goal_belongs_to_its_data() -> None:
    """What a model reaches on other data is shown and not judged."""
    assert judge([result("mlp", "mnist", 0.5)]) == []


def test_real_mnist_asks_for_more() -> None:
    """On MNIST a convolutional network has to reach 0.98."""
    assert [passed for passed, _ in judge([result("mnist_cnn", "mnist", 0.97)])] == [False]


def test_a_model_is_trained_with_every_seed() -> None:
    """Two seeds give two values, on one and the same division of the data."""
    reached = measure("mlp", seeds=2, max_steps=3)

    assert len(reached.values) == 2
    assert reached.data == "digits"
    assert reached.samples_per_second > 0


def test_without_a_gpu_there_are_no_generated_images() -> None:
    """Throughput on a GPU is only measured on one."""
    import torch

    assert (generated_images() is None) is not torch.cuda.is_available()
