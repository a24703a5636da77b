"""Scores of classes, against scikit-learn and against what one computes by hand."""

from __future__ import annotations

import sys

import pytest
import torch
from sklearn.metrics import classification_report, roc_auc_score

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.training.class_measures import ClassMeasures, class_measures

NAMES = ("cat", "dog", "owl")


def measured(true: list[int], predicted: list[int], names: tuple[str, ...] = NAMES) -> ClassMeasures:
    """Measures of samples that were given to these classes with a probability of 0.8."""
    sure = torch.nn.functional.one_hot(torch.tensor(predicted), len(names)).float()
    rest = 0.2 / max(len(names) - 1, 1)
    return class_measures(sure * (0.8 - rest) + rest, torch.tensor(true), names)


@pytest.fixture(scope="module")
def rated() -> tuple[torch.Tensor, torch.Tensor]:
    """200 samples of three classes with random probabilities, a little better than guessing."""
    numbers = torch.Generator().manual_seed(2)
    labels = torch.randint(3, (200,), generator=numbers)
    scores = torch.rand(200, 3, generator=numbers) + 0.4 * torch.nn.functional.one_hot(labels, 3)
    return scores.softmax(1), labels


def test_scores_by_hand():
    """Of two cats one is called a dog: its recall is 1/2, the dog's precision 1/2."""
    cat, dog, owl = measured([0, 0, 1, 2], [0, 1, 1, 2]).classes

    assert (cat.precision, cat.recall, cat.f1, cat.support) == (1.0, 0.5, pytest.approx(2 / 3), 2)
    assert (dog.precision, dog.recall, dog.support) == (0.5, 1.0, 1)
    assert (owl.precision, owl.recall, owl.f1) == (1.0, 1.0, 1.0)


def test_confusion_has_true_classes_in_its_rows():
    """The cat that was called a dog stands in the first row, second column."""
    assert measured([0, 0, 1, 2], [0, 1, 1, 2]).confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_scores_equal_those_of_scikit_learn(rated: tuple[torch.Tensor, torch.Tensor]):
    """Every score and both means are those of its own report."""
    shares, labels = rated
    ours = class_measures(shares, labels, NAMES)
    theirs = classification_report(labels, shares.argmax(1), target_names=NAMES, output_dict=True)

    for score in (*ours.classes, ours.macro, ours.weighted):
        row = theirs[score.name.replace("mean", "avg")]
        assert (score.precision, score.recall, score.f1) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"])
        )
    assert ours.accuracy == pytest.approx(theirs["accuracy"])


def test_areas_equal_those_of_scikit_learn(rated: tuple[torch.Tensor, torch.Tensor]):
    """Macro and weighted mean of one class against the rest are those of its own function."""
    shares, labels = (tensor.numpy() for tensor in rated)
    ours = class_measures(*rated, NAMES)

    for mean, average in ((ours.macro, "macro"), (ours.weighted, "weighted")):
        theirs = roc_auc_score(labels, shares.astype("float64"), multi_class="ovr", average=average)
        assert mean.auc == pytest.approx(theirs, abs=1e-6)


def test_an_absent_class_has_no_recall_and_no_curve():
    """What no sample can show is None with a reason, and does not pull the mean down."""
    found = measured([0, 0, 1], [0, 0, 1])

    assert (found.classes[2].recall, found.classes[2].auc) == (None, None)
    assert 2 not in found.roc
    assert (found.macro.recall, found.macro.auc) == (1.0, 1.0)
    assert any("no sample" in reason and "owl" in reason for reason in found.reasons)


def test_a_class_that_was_never_predicted_has_no_precision():
    """Its recall is 0, which is known; its precision is not."""
    found = measured([0, 1, 2], [0, 1, 1])
    owl = found.classes[2]

    assert (owl.precision, owl.recall, owl.f1) == (None, 0.0, 0.0)
    assert any("never predicted" in reason and "owl" in reason for reason in found.reasons)


def test_samples_of_one_class_have_no_curve():
    """Without other samples nothing can be told apart."""
    found = measured([1, 1], [1, 0])

    assert found.roc == {}
    assert found.macro.auc is None
    assert any("every sample" in reason and "dog" in reason for reason in found.reasons)


def test_roc_of_two_classes_mirrors():
    """With two classes both areas are the same."""
    shares = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.3, 0.7]])
    no, yes = class_measures(shares, torch.tensor([0, 0, 1, 1]), ("no", "yes")).classes

    assert no.auc == yes.auc == pytest.approx(0.75)


def test_the_table_lists_classes_and_means():
    """One row a class, then the two means."""
    scores, matrix = measured([0, 0, 1, 2], [0, 1, 1, 2]).tables()

    assert [row[0] for row in scores.rows] == [*NAMES, "macro mean", "weighted mean"]
    assert matrix.rows[0] == ("cat", "1", "1", "·")


def test_long_names_stand_beside_their_numbers():
    """Above the columns of the matrix there is room for numbers only."""
    _, matrix = measured([0, 1], [0, 0], ("elephant", "dog")).tables()

    assert matrix.heads == ("", "0", "1")
    assert [row[0] for row in matrix.rows] == ["0 elephant", "1 dog"]


def test_of_many_classes_the_weakest_are_listed():
    """A thousand rows help nobody: the table names those with the lowest F1, and the matrix is left to the plot."""
    names = tuple(f"c{n}" for n in range(40))
    predicted = [*range(39), 0]
    (table,) = measured(list(range(40)), predicted, names).tables()

    assert len(table.rows) == 30 + 2
    assert "c39" in {row[0] for row in table.rows}
    assert "30 weakest of 40" in table.title


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        measured([0], [0])


def test_facts_are_what_one_reads_first():
    """Accuracy in percent; F1 (2/3, 2/3, 1) and AUC (3/4, 5/6, 1, a tie counts half) with three places."""
    facts = dict(measured([0, 0, 1, 2], [0, 1, 1, 2]).facts())

    assert facts == {"accuracy": "75 %", "F1 (macro mean)": "0.778", "AUC (macro mean)": "0.861"}


def test_unknown_scores_are_dashes():
    """Never 0, which would be a score."""
    scores, _ = measured([0, 0, 1], [0, 0, 1]).tables()

    assert scores.rows[2] == ("owl", "–", "–", "–", "–", "0")


def test_the_weighted_mean_counts_samples():
    """Three cats with a recall of 1 and one dog with 0: 3/4, where the macro mean is 1/2."""
    found = measured([0, 0, 0, 1], [0, 0, 0, 0], ("cat", "dog"))

    assert (found.weighted.recall, found.macro.recall) == (0.75, 0.5)


def test_both_means_are_of_all_samples():
    """Their support is the number of samples."""
    found = measured([0, 0, 1, 2], [0, 1, 1, 2])

    assert found.macro.support == found.weighted.support == 4


def test_a_curve_runs_from_corner_to_corner():
    """From nothing taken to everything taken."""
    curve = measured([0, 0, 1, 2], [0, 1, 1, 2]).roc[0]

    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)


def test_a_perfect_model_has_ones_everywhere():
    """All scores of all classes."""
    found = measured([0, 1, 2], [0, 1, 2])

    for score in (*found.classes, found.macro, found.weighted):
        assert (score.precision, score.recall, score.f1, score.auc) == (1.0, 1.0, 1.0, 1.0)
    assert found.reasons == ()


def test_a_model_that_guesses_has_half_the_area():
    """Equal probabilities for all tell nothing apart."""
    found = class_measures(torch.full((6, 3), 1 / 3), torch.tensor([0, 1, 2] * 2), NAMES)

    assert [score.auc for score in found.classes] == [0.5] * 3


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_chance_to_rate_a_pair_right(seed: int):
    """Counted over all pairs of a sample of the class and one of another; a tie counts half."""
    numbers = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (40,), generator=numbers)
    shares = (torch.rand(40, 3, generator=numbers) * 10).round().softmax(1)  # rounded, so that there are ties
    found = class_measures(shares, labels, NAMES)

    for number, score in enumerate(found.classes):
        rated = shares[:, number]
        own, other = rated[labels == number][:, None], rated[labels != number][None, :]
        pairs = (own > other).double() + 0.5 * (own == other).double()
        assert score.auc == pytest.approx(float(pairs.mean()))


@pytest.mark.parametrize("seed", range(4))
def test_scores_follow_from_the_confusion_matrix(seed: int):
    """Precision is a column's share on the diagonal, recall a row's, F1 their harmonic mean."""
    numbers = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (60,), generator=numbers)
    found = class_measures(torch.rand(60, 3, generator=numbers).softmax(1), labels, NAMES)

    for number, score in enumerate(found.classes):
        hits = found.confusion[number, number]
        precision, recall = hits / found.confusion[:, number].sum(), hits / found.confusion[number].sum()
        assert (score.precision, score.recall) == pytest.approx((precision, recall))
        assert score.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.accuracy == pytest.approx(found.confusion.trace() / 60)
