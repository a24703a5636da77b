"""Measures of tokens and numbers."""

from __future__ import annotations

import math

import pytest
import torch

from bigmodel_lab.training.measures import PictureMeasures, number_measures, token_measures

VOCABULARY = ("<padding>", "<unknown>", "the", "cat", "sat")


def test_perplexity_of_a_sure_model_is_one():
    """A loss of 0 means that there is nothing to choose from."""
    assert token_measures(torch.tensor([[2]]), torch.tensor([[2]]), VOCABULARY, 0.0).perplexity == 1.0


def test_perplexity_of_even_odds_is_the_number_of_tokens():
    """A loss of ln 5 is that of guessing among five tokens."""
    found = token_measures(torch.tensor([[2]]), torch.tensor([[3]]), VOCABULARY, math.log(5))

    assert found.perplexity == pytest.approx(5)


def test_another_loss_has_no_perplexity():
    """What is not a cross-entropy cannot be turned into one; the reason says so."""
    found = token_measures(torch.tensor([[2]]), torch.tensor([[2]]), VOCABULARY, None)

    assert found.perplexity is None
    assert "cross-entropy" in found.reasons[0]


def test_accuracy_counts_places():
    """Three of four places are right, whatever sample they lie in."""
    found = token_measures(torch.tensor([[2, 3], [2, 2]]), torch.tensor([[2, 3], [2, 4]]), VOCABULARY, 1.0)

    assert (found.accuracy, found.places) == (0.75, 4)


def test_frequent_tokens_come_first():
    """Each token tells how often it occurs and how often it was foreseen."""
    found = token_measures(torch.tensor([[2, 2, 3, 2]]), torch.tensor([[2, 2, 2, 4]]), VOCABULARY, 1.0)

    assert found.tokens[0] == ("the", 3, pytest.approx(2 / 3))
    assert found.tokens[1] == ("sat", 1, 0.0)


def test_errors_of_numbers_by_hand():
    """Errors of 1 and 3: mean 2, mean square 5; around the mean 2 the variance is 4, so R² is 1 - 5/4."""
    found = number_measures(torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [4.0]]))

    assert (found.mae, found.mse, found.r2) == (2.0, 5.0, pytest.approx(-0.25))


def test_numbers_that_are_all_the_same_have_no_r2():
    """Without variance there is none to explain."""
    found = number_measures(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]))

    assert found.r2 is None
    assert "variance" in found.reasons[0]


def test_a_single_number_has_no_r2():
    """One sample has no variance either, and scikit-learn's warning does not appear."""
    assert number_measures(torch.tensor([1.0]), torch.tensor([2.0])).r2 is None


def test_facts_are_what_one_reads_first():
    """Names and values in words, unknown ones as a dash."""
    found = number_measures(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]))

    assert dict(found.facts()) == {"mean squared error": "2.5", "mean absolute error": "1.5", "R²": "–"}


def test_pictures_are_judged_by_their_error():
    """There is nothing else to read; the pictures are in the plot."""
    found = PictureMeasures(0.25, ())

    assert (found.facts(), found.tables()) == ([("mean squared error", "0.25")], [])


@pytest.mark.parametrize("seed", range(3))
def test_errors_of_random_numbers_follow_their_definitions(seed: int):
    """Mean absolute and squared error, and one minus the share of the variance that is left."""
    numbers = torch.Generator().manual_seed(seed)
    true = torch.randn(50, generator=numbers, dtype=torch.float64)
    predicted = true + 0.3 * torch.randn(50, generator=numbers, dtype=torch.float64)
    found, error = number_measures(predicted, true), predicted - true

    assert found.mae == pytest.approx(float(error.abs().mean()))
    assert found.mse == pytest.approx(float(error.square().mean()))
    assert found.r2 == pytest.approx(1 - float(error.square().sum() / (true - true.mean()).square().sum()))


def test_several_numbers_a_sample_count_alike():
    """Errors of 0 and 2 in one sample: mean 1."""
    assert number_measures(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]])).mae == 1.0


def test_perfect_numbers_have_an_r2_of_one():
    """All of the variance is explained."""
    assert number_measures(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])).r2 == 1.0


def test_only_the_most_frequent_tokens_are_listed():
    """Twelve of twenty, and those that never occur are not among them."""
    tokens = torch.arange(20).repeat_interleave(torch.arange(20, 0, -1))[None]
    found = token_measures(tokens, tokens, (), 0.0)

    assert [score.token for score in found.tokens] == [str(number) for number in range(12)]
    assert all(score.accuracy == 1.0 for score in found.tokens)


def test_the_table_of_tokens_shows_spaces():
    """A token of blanks would not be seen without quotes."""
    (table,) = token_measures(torch.tensor([[0]]), torch.tensor([[0]]), (" ",), 0.0).tables()

    assert table.rows == (("' '", "1", "100 %"),)


def test_facts_of_tokens_are_what_one_reads_first():
    """Accuracy, perplexity and how many places."""
    found = token_measures(torch.tensor([[2, 3]]), torch.tensor([[2, 4]]), VOCABULARY, math.log(8))

    assert dict(found.facts()) == {"accuracy by token": "50 %", "perplexity": "8", "tokens": "2"}
