"""Own arrays in whatever they come, and what is said when they cannot be trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bigmodel_lab.data import Division, Split, from_arrays, suit_model
from bigmodel_lab.errors import DataError, EmptyDataError, LabelRangeError, ShapeError

X, Y = np.arange(80.0).reshape(40, 2), np.arange(40) % 4
KEEP_ALL = Division(validation_fraction=0, test_fraction=0)


class Pairs(Dataset):
    """A torch data set that makes its samples one by one, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.asked += 1
        return torch.from_numpy(X[index]), int(Y[index])


class Fractions(Dataset):
    """A torch data set whose labels are no class numbers."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(2), torch.tensor(0.75)


@pytest.mark.parametrize(
    "samples",
    [
        (X, Y),
        [X, Y],
        (X.tolist(), Y.tolist()),
        (torch.from_numpy(X), torch.from_numpy(Y)),
        (torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y).float()),
        (X, Y[:, None]),
        (X[::-1][::-1], Y.astype(">i2")),
        Split(torch.from_numpy(X), torch.from_numpy(Y)),
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
        Pairs(),
        DataLoader(Pairs(), batch_size=8),
        {"train": (X, Y)},
    ],
    ids=lambda samples: type(samples).__name__,
)
def test_every_container_gives_the_same_samples(samples):
    """Samples arrive as float32 with int64 labels, each sample with its own label."""
    train = from_arrays(samples, division=KEEP_ALL).train
    order = train.x[:, 0].argsort()

    assert (train.x.dtype, train.y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(train.x[order], torch.from_numpy(X).float())
    assert train.y[order].tolist() == Y.tolist()


def test_data_set_is_read_once():
    """A torch data set is asked for each sample once, not once an epoch."""
    pairs = Pairs()
    from_arrays(pairs)

    assert pairs.asked == 40


def test_given_parts_stay_as_they_are():
    """A dict of splits is not divided again."""
    data = from_arrays({"train": (X, Y), "validation": (X[:5], Y[:5]), "test": (X[:3], Y[:3])})

    assert [len(split) for split in data.splits.values()] == [40, 5, 3]


def test_missing_validation_is_cut_from_training():
    """Test samples are never used to validate."""
    data = from_arrays({"train": (X, Y), "test": (X[:3], Y[:3])}, division=Division(validation_fraction=0.25))

    assert [len(split) for split in data.splits.values()] == [30, 10, 3]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=120), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 99))
def test_division_keeps_every_sample_once(labels, validation, test, seed):
    """Whatever is divided, no sample is lost or doubled, unless nothing is left to train on."""
    x = np.arange(len(labels), dtype=np.float32)[:, None]
    try:
        data = from_arrays((x, labels), division=Division(validation, test, seed))
    except EmptyDataError:
        assert round(test * len(labels)) + round(validation * (len(labels) - round(test * len(labels)))) == len(labels)
        return

    together = torch.cat([split.x for split in data.splits.values()]).flatten()
    assert together.sort().values.tolist() == list(range(len(labels)))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.uint8, torch.uint8),
        (np.float16, torch.float32),
        (np.float64, torch.float32),
        (np.bool_, torch.float32),
        (np.int32, torch.int64),
        (np.uint16, torch.int64),
    ],
)
def test_type_of_samples(dtype, expected):
    """Pixels stay bytes, measurements become float32, tokens int64."""
    assert from_arrays((np.ones((20, 3), dtype), np.arange(20) % 2)).train.x.dtype == expected


def test_samples_that_may_not_be_written():
    """A read-only array is read without a warning and without a change."""
    x = X.copy()
    x.flags.writeable = False

    assert len(from_arrays((x, Y), division=KEEP_ALL).train) == 40


@pytest.mark.parametrize(
    "samples", [(X[:0], Y[:0]), {"train": (X[:0], Y[:0])}, TensorDataset(torch.empty(0, 2), torch.empty(0))]
)
def test_no_samples(samples):
    """Nothing to train on is said at once, with the shape."""
    with pytest.raises(EmptyDataError, match=r"no training samples: x has shape \(0, 2\)"):
        from_arrays(samples)


def test_bad_labels_are_named_with_their_positions():
    """The message lists the first bad labels, where they stand, how many there are, and what is allowed."""
    y = Y.copy()
    y[[3, 7, 11, 12, 20, 30, 31]] = [-1, 99, 4, 5, 6, 7, 8]

    with pytest.raises(LabelRangeError) as caught:
        from_arrays({"train": (X, y), "validation": (X, Y)}, classes=4)

    message = str(caught.value)
    assert "7 of 40 train labels are outside 0 … 3" in message
    assert "y[3] = -1, y[7] = 99, y[11] = 4, y[12] = 5, y[20] = 6 …" in message


def test_labels_that_are_no_whole_numbers():
    """The targets of a regression are not class numbers."""
    with pytest.raises(LabelRangeError, match=r"y\[1\] is 0.5.*task=\"regression\""):
        from_arrays((X, np.where(np.arange(40) == 1, 0.5, 0.0)))


def test_fractions_of_a_data_set_are_not_cut_off():
    """A torch data set with fractions for labels is refused like an array."""
    with pytest.raises(LabelRangeError, match=r"is 0\.75"):
        from_arrays(Fractions())


def test_labels_of_another_number_than_samples():
    """Both shapes stand in the message."""
    with pytest.raises(ShapeError, match=r"\(40, 2\).*\(39,\)"):
        from_arrays((X, Y[:39]))


def test_one_hot_labels_say_what_to_do():
    """One-hot labels are refused with the way to class numbers."""
    with pytest.raises(ShapeError, match="argmax"):
        from_arrays((X, np.eye(4)[Y]))


def test_ragged_data_set_names_two_shapes():
    """Samples of different shapes cannot become a batch."""
    ragged = [(np.zeros(3), 0), (np.zeros(5), 1)]

    class Ragged(Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return ragged[index]

    with pytest.raises(ShapeError, match=r"\(3,\) and \(5,\)"):
        from_arrays(Ragged())


def test_ragged_lists():
    """Lists of different lengths are refused as shapes."""
    with pytest.raises(ShapeError, match="x cannot become one array"):
        from_arrays(([[1, 2], [3]], [0, 1]))


def test_parts_of_different_shapes():
    """Validation samples must look like training samples."""
    with pytest.raises(ShapeError, match=r"validation samples have shape \(1,\), the training samples \(2,\)"):
        from_arrays({"train": (X, Y), "validation": (X[:, :1], Y)})


@pytest.mark.parametrize("samples", [{"valid": (X, Y)}, {"train": (X, Y), "tset": (X, Y)}, X, 7, None, (X, Y, Y)])
def test_what_cannot_be_read(samples):
    """Anything else is refused with what is allowed."""
    with pytest.raises(DataError, match=r"'train' \(needed\)|Give \(x, y\)"):
        from_arrays(samples)


@pytest.mark.parametrize(
    "x", [np.array([["a"], ["b"]]), np.zeros((2, 1), complex), torch.zeros(2, 1, dtype=torch.complex64)]
)
def test_samples_that_are_no_numbers(x):
    """Words and complex numbers are refused, with their type."""
    with pytest.raises(DataError, match=r"str|<U1|complex64|complex128"):
        from_arrays((x, [0, 1]))


def test_single_number_is_no_sample():
    """A scalar has no samples."""
    with pytest.raises(ShapeError, match="single number"):
        from_arrays((3.0, 1))


def test_channel_is_added_without_a_copy():
    """(N, 28, 28) suits (1, 28, 28), and shares its memory."""
    data = from_arrays((np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10))
    suited = suit_model(data, (1, 28, 28), 10)

    assert suited.input_shape == (1, 28, 28)
    assert suited.train.x.data_ptr() == data.train.x.data_ptr()


def test_model_with_more_classes_than_labels():
    """A model may have classes that the data does not show."""
    assert suit_model(from_arrays((X, Y)), (2,), 10).classes == 10


@pytest.mark.parametrize("y", [X[:, 0], X[:, :1], torch.from_numpy(X[:, 0])])
def test_numbers_to_predict(y):
    """Told so, y is float32 with one row a sample, each with its own sample, and classes counts its numbers."""
    data = from_arrays((X, y), task="regression", division=KEEP_ALL)

    assert (data.task, data.classes, data.train.y.dtype) == ("regression", 1, torch.float32)
    assert torch.equal(data.train.y, data.train.x[:, :1])


def test_several_numbers_to_predict():
    """Several numbers a sample may be predicted; they are divided with their samples."""
    data = from_arrays((X, X * 2), task="regression")

    assert data.classes == 2
    assert all(torch.equal(split.y, split.x * 2) for split in data.splits.values())


def test_numbers_to_predict_for_another_number_of_samples():
    """The message says what the task asks for."""
    with pytest.raises(ShapeError, match=r"\(40, 2\).*\(39, 1\).*regression it must be one row a sample"):
        from_arrays((X, X[:39, 0]), task="regression")


def test_next_tokens_have_the_shape_of_the_samples():
    """Tokens to predict are whole numbers, one at each place; the vocabulary counts to the highest."""
    x = np.arange(120).reshape(40, 3)
    data = from_arrays((x[:, :2], x[:, 1:]), task="next_token", division=KEEP_ALL)

    assert (data.train.y.shape, data.classes) == ((40, 2), 120)


def test_next_tokens_of_another_shape():
    """One token a sample is no next token at each place."""
    with pytest.raises(ShapeError, match="must have the shape of the samples"):
        from_arrays((X.astype(int), Y), task="next_token")


def test_names_and_notes_are_kept():
    """What the classes are called and what was noticed travel with the data."""
    data = from_arrays((X, Y), class_names=["a", "b", "c", "d"], notes=["line 3 is missing"])

    assert (data.class_names, data.notes) == (("a", "b", "c", "d"), ("line 3 is missing",))


class Rows(Dataset):
    """Any samples as a torch data set."""

    def __init__(self, *rows: object) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    def __getitem__(self, place: int) -> object:
        """One sample."""
        return self.rows[place]


@pytest.mark.parametrize(("row", "kind"), [((torch.zeros(2), 1, "extra"), "tuple"), (torch.zeros(2), "Tensor")])
def test_a_data_set_of_anything_but_pairs(row, kind):
    """Samples with three parts, or without a label, are refused with what each must be."""
    with pytest.raises(DataError, match=rf"samples of type {kind} that are no pairs.*\(x, y\)"):
        from_arrays(Rows(row, row))


def test_a_data_set_with_several_numbers_to_predict():
    """A label may be a tensor of several numbers."""
    rows = Rows(*((torch.zeros(2), torch.tensor([n, n + 0.5])) for n in range(4)))
    data = from_arrays(rows, task="regression", division=Division(0, 0))

    assert data.train.y.tolist() == [[n, n + 0.5] for n in range(4)]


def test_a_data_set_of_next_tokens():
    """Next tokens of a data set keep their places."""
    tokens = [torch.arange(n, n + 4) for n in range(3)]
    data = from_arrays(Rows(*((t[:-1], t[1:]) for t in tokens)), task="next_token", division=Division(0, 0))

    assert torch.equal(data.train.y, data.train.x + 1)


def test_one_hot_labels_of_a_data_set_say_what_to_do():
    """One-hot labels are refused the same way as in arrays."""
    with pytest.raises(ShapeError, match=r"argmax\(1\)"):
        from_arrays(Rows(*((torch.zeros(2), torch.tensor([1, 0])) for _ in range(3))))


def test_single_numbers_as_samples_have_sizes():
    """Points x of shape (samples,) are samples of one number, with a length of 1."""
    sizes = from_arrays((torch.linspace(0, 1, 20), torch.linspace(0, 2, 20)), task="regression").sizes

    assert (sizes["features"], sizes["length"], sizes["input_shape"]) == (1, 1, ())
