"""The embedded texts by topic: real, divided without a leak, the same every time."""

from __future__ import annotations

import random
import re
import string

import pytest
import torch

from bigmodel_lab.data import DATASETS, Data, Division, load_data
from bigmodel_lab.data import docs_topics as module
from bigmodel_lab.data._docstrings import docstrings, library_folder
from bigmodel_lab.data._tokens import Tokenizer
from bigmodel_lab.errors import DataError


@pytest.fixture(scope="module")
def data() -> Data:
    """The corpus as it is by default."""
    return load_data("docs_topics")


def documents(data: Data, part: str) -> list[str]:
    """The words of each document of a part."""
    tokenizer = Tokenizer(data.vocabulary)
    return [tokenizer.decode(row) for row in data.splits[part].x.tolist()]


def test_it_is_a_member_of_the_family():
    """It has a name and says what it is."""
    assert str(DATASETS.get("docs_topics").meaning).startswith("Documentation strings")


def test_shape(data):
    """Rows of 64 token numbers, a class each, no more words than promised."""
    assert (data.task, data.input_shape, data.train.x.dtype, data.scale) == ("classification", (64,), torch.int64, None)
    assert data.classes == len(data.class_names) == len(module.TOPICS)
    assert 1000 < len(data.vocabulary) <= 8192
    assert int(data.train.x.max()) < len(data.vocabulary)


def test_size(data):
    """There are enough documents, and of no topic few."""
    counts = sum(part.y.bincount(minlength=data.classes) for part in data.splits.values())

    assert int(counts.sum()) >= 1500
    assert int(counts.min()) >= 100


def test_parts_hold_every_topic_in_proportion(data):
    """Each part is within two documents of its share of each topic."""
    whole = sum(part.y.bincount(minlength=data.classes) for part in data.splits.values())

    for part in data.splits.values():
        assert (part.y.bincount(minlength=data.classes) - whole * len(part) / whole.sum()).abs().max() <= 2


def test_no_document_stands_in_two_parts(data):
    """Neither whole documents nor what a model sees of them."""
    seen = [set(map(tuple, part.x.tolist())) for part in data.splits.values()]

    assert sum(map(len, seen)) == len(set().union(*seen)) == sum(len(part) for part in data.splits.values())


def test_no_documentation_string_comes_twice():
    """One that is repeated in another class, with other punctuation, is taken once."""
    first = module.Docstring("A.run", (), "Start the thread, and wait.")
    again = module.Docstring("B.run", (), "start the thread and wait")

    assert list(module._unseen([first, again], set())) == [first]


def test_documents_are_text(data):
    """A person can read them, and they are about their topic."""
    numbers = data.class_names.index("numbers and dates")
    chosen = [words for words, y in zip(documents(data, "train"), data.train.y, strict=True) if int(y) == numbers]

    assert sum("decimal" in words for words in chosen) > 20


def test_names_are_cut_into_words(data):
    """The name ThreadPoolExecutor stands before its text as three words."""
    assert any("thread pool executor" in words for part in data.splits for words in documents(data, part))


def test_description_says_what_it_is(data):
    """How many documents, of which Python, in how many topics."""
    count = sum(len(part) for part in data.splits.values())

    assert re.match(
        rf"{count} passages from the documentation strings of Python 3\.\d+\.\S+ standard library, in 6 topics\.",
        data.description,
    )


@pytest.mark.parametrize("limit", ["one file may fall into different parts", "chosen so that topics lie apart"])
def test_description_says_what_the_test_does_not_prove(data, limit):
    """Who reads an accuracy can know that files are shared by the parts, and that the topics were chosen."""
    assert limit in data.description


def test_passages_of_one_file_fall_into_different_parts(data):
    """The limit that is stated is there: passages about tar files are in more than one part."""
    parts = [name for name in data.splits if any(" tar " in f" {words} " for words in documents(data, name))]

    assert len(parts) >= 2


def test_the_same_every_time(data):
    """Corpus, numbers and parts do not depend on when it is read."""
    module._corpus.cache_clear()
    again = load_data("docs_topics")

    assert (again.sha256, again.vocabulary) == (data.sha256, data.vocabulary)
    assert all(torch.equal(again.splits[part].x, data.splits[part].x) for part in data.splits)


def test_seed_divides_anew_and_keeps_the_corpus(data):
    """Another seed gives other test documents out of the same corpus."""
    other = load_data("docs_topics", seed=1)

    assert other.sha256 == data.sha256
    assert sorted(documents(other, "test")) != sorted(documents(data, "test"))


def test_digest_is_one_of_the_whole_corpus(data):
    """It is a SHA-256 in hexadecimal."""
    assert re.fullmatch("[0-9a-f]{64}", data.sha256)


def test_topics_share_no_module():
    """Every module has one topic."""
    modules = " ".join(module.TOPICS.values()).split()

    assert len(modules) == len(set(modules))


def test_no_passage_is_short():
    """Documentation strings are joined until they are long enough; a short rest is left out."""
    strings = [module.Docstring(f"ReadLine{n}.all", ("max_size",), "One two three four.") for n in range(8)]
    passages = list(module._passages(strings))

    assert [len(passage.split()) for passage in passages] == [30, 30]
    assert passages[0].startswith("Read Line 0 all max size One two three four. Read Line 1")


def test_missing_source_files_are_explained(monkeypatch, tmp_path):
    """Where the source files are not installed, the message says where they were looked for."""
    monkeypatch.setattr(module, "library_folder", lambda: tmp_path)

    with pytest.raises(DataError, match=r"0 documents about concurrency.*source files"):
        module.load(Division())


SOURCE = '''
"""The   module
itself."""
raise SystemExit("never imported")
if True:
    class Outer:
        """A class."""
        def method(self, first, /, second=1, *rest, third, **more):
            """A method."""
            def inner():
                """Inside."""
        class Nested:
            async def later(cls):
                """Nested."""
try:
    pass
except ImportError:
    def fallback():
        """Below except."""
def silent(): pass
'''


def test_every_definition_is_found(tmp_path):
    """Modules, classes, functions, inside others and under conditions; nothing is imported."""
    (tmp_path / "own.py").write_text(SOURCE)
    (file,) = docstrings(tmp_path, "own")

    assert [(found.name, found.arguments, found.text) for found in file] == [
        ("", (), "The module itself."),
        ("Outer", (), "A class."),
        ("Outer.method", ("first", "second", "third"), "A method."),
        ("Outer.method.inner", (), "Inside."),
        ("Outer.Nested.later", (), "Nested."),
        ("fallback", (), "Below except."),
    ]


def test_packages_are_read_without_their_tests(tmp_path):
    """All files of a package in alphabetical order, apart from those in folders of tests."""
    for name in ("b.py", "__init__.py", "part/a.py", "tests/test_b.py", "test/c.py"):
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""File {name}."""')

    assert [file[0].text for file in docstrings(tmp_path, "own")] == [
        "File __init__.py.",
        "File b.py.",
        "File part/a.py.",
    ]


def test_module_that_this_python_lacks(tmp_path):
    """It gives nothing."""
    assert list(docstrings(tmp_path, "gone")) == []


def test_broken_source_is_named(tmp_path):
    """A file that is no Python is named, with its line."""
    (tmp_path / "own.py").write_text("def (:")

    with pytest.raises(DataError, match=r"own\.py of Python's standard library cannot be read.*line 1"):
        list(docstrings(tmp_path, "own"))


def test_documentation_of_a_real_module():
    """What is read is what ``help()`` shows."""
    texts = {found.name: found.text for found in next(docstrings(library_folder(), "random"))}

    assert texts["Random.shuffle"] == " ".join(random.Random.shuffle.__doc__.split())
    assert next(docstrings(library_folder(), "string"))[0].text == " ".join(string.__doc__.split())
