"""Texts by topic that every Python carries: the documentation strings of its standard library.

Before each documentation string stand the names of what it documents and of its arguments, as ``help()`` shows
them, cut into words: ``HTTPConnection.request(method, url)`` gives "HTTP Connection request method url". A
document is a passage: documentation strings that follow each other in one source file, joined until they have
24 words. Its topic is that of its top-level module, by the table below; the name of the module is not part of it.

Of documentation strings with the same letters only the first is taken, so no text stands in two parts. But
passages of one file may fall into different parts, so the test asks for the words of modules that were seen, and
says nothing of modules that were not. The modules of each topic were chosen so that topics lie apart, by accuracies on
validation passages and by logistic regression over the whole corpus, test passages
included. So accuracy on topics that nobody chose may be lower.

The source files are read, never imported: the corpus is that of the Python which runs; another version has other
texts, and another SHA-256.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from bigmodel_lab.data._docstrings import Docstring, docstrings, library_folder
from bigmodel_lab.data._text import digest, text_data
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import Text, text

TOPICS: dict[str, str] = {
    "concurrency": "asyncio concurrent multiprocessing queue threading",
    "files and archives": """
        bz2 filecmp fnmatch genericpath glob gzip lzma ntpath os pathlib posixpath shutil stat tarfile tempfile zipapp
        zipfile
        """,
    "language and tools": """
        abc ast bdb codeop compileall contextlib dataclasses dis doctest enum functools importlib inspect modulefinder
        pdb pkgutil py_compile pyclbr runpy symtable traceback types typing unittest
        """,
    "mail and network": """
        asynchat asyncore email ftplib http imaplib ipaddress mailbox mailcap mimetypes netrc nntplib poplib smtpd
        smtplib socket socketserver ssl telnetlib urllib webbrowser wsgiref xmlrpc
        """,
    "numbers and dates": """
        bisect calendar colorsys datetime _pydatetime _pydecimal fractions heapq numbers random statistics _strptime
        zoneinfo
        """,
    "text and data formats": "configparser csv difflib html json plistlib re string textwrap tomllib xml",
}
"""The top-level modules of each topic; those that this Python lacks are passed over."""
LENGTH = 64
"""Words of a row."""
_PASSAGE = 24  # words of a document, at least
_FEWEST = 50  # documents of a topic; fewer mean that the source files are not installed
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def load(division: Division) -> Data:
    """The documents, divided with every topic in proportion.

    Raises:
        DataError: The source files of the standard library are not installed.
    """
    corpus = _corpus(library_folder())
    description = text(
        "data.docs_topics.description",
        "{count} passages from the documentation strings of Python {version}'s standard library, in {topics} topics. "
        "Passages of one file may fall into different parts; the modules were chosen so that topics lie apart.",
        count=len(corpus),
        version=platform.python_version(),
        topics=len(TOPICS),
    )
    return text_data(
        "docs_topics",
        description,
        tuple(corpus),
        tuple(corpus.values()),
        division,
        length=LENGTH,
        sha256=digest(f"{topic}\t{document}" for document, topic in corpus.items()),
    )


@lru_cache(maxsize=1)  # a run with another seed divides the same documents
def _corpus(folder: Path) -> Mapping[str, str]:
    """The topic of every document, topic by topic and within a topic in alphabetical order."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for topic, modules in TOPICS.items():
        files = (file for module in modules.split() for file in docstrings(folder, module))
        documents = [passage for file in files for passage in _passages(_unseen(file, seen))]
        _check_enough(folder, topic, len(documents))
        found.update(dict.fromkeys(sorted(documents), topic))
    return MappingProxyType(found)


def _unseen(file: Iterable[Docstring], seen: set[str]) -> Iterator[Docstring]:
    """Those whose letters have not come before, in any topic."""
    for documented in file:
        letters = "".join(filter(str.isalpha, documented.text.lower()))
        if letters not in seen:
            seen.add(letters)
            yield documented


def _passages(file: Iterable[Docstring]) -> Iterator[str]:
    """Names and texts joined until they are long enough; a short rest at the end of a file is not used."""
    passage: list[str] = []
    for documented in file:
        names = " ".join((documented.name, *documented.arguments))
        passage += _NAME_PART.findall(names) + documented.text.split()
        if len(passage) >= _PASSAGE:
            yield " ".join(passage)
            passage = []


def _check_enough(folder: Path, topic: str, documents: int) -> None:
    if documents >= _FEWEST:
        return
    raise DataError(
        text(
            "error.docs_topics",
            "The standard library in {folder} gives {count} documents about {topic}; {least} are needed. Are "
            "its source files (*.py) installed? Give data of your own instead: load_data('path/to/data.txt').",
            folder=str(folder),
            count=documents,
            topic=topic,
            least=_FEWEST,
        )
    )


DATASET = DatasetCard(
    name="docs_topics",
    load=load,
    meaning=Text(
        "data.docs_topics.meaning",
        "Documentation strings of the standard library of the Python that runs, in six topics.",
    ),
)
