"""What in the data may spoil training or its judgement, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from bigmodel_lab.data._report_facts import DataFacts, Places, SplitFacts
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_number, format_value

_UNBALANCED = 5  # times as many samples in the largest class as in the smallest
_REPEATED = 0.01  # share of samples
_UNKNOWN = 0.2  # share of words
_CUT_OFF = 0.25  # share of texts
_LARGE = 20.0  # values that a model gets; most expect about −1 … 1
_FEW = 10  # samples of a class by which it is judged


def warnings_of(facts: DataFacts) -> tuple[str, ...]:
    """Every warning that the facts give rise to, most severe first.

    Args:
        facts: Of any data; warnings that it has already are not looked at.
    """
    return tuple(chain.from_iterable(check(facts) for check in _CHECKS))


def _missing(facts: DataFacts) -> Iterator[str]:
    for split in facts.splits:
        if split.missing.count:
            yield text(
                "report.warn.missing",
                "{count} of {total} {split} samples hold a value that is NaN or infinite: {first}. One of them makes "
                "the loss NaN; remove them or fill the gaps.",
                **_of(split, split.missing),
            )


def _leaks(facts: DataFacts) -> Iterator[str]:
    samples = {split.name: split.samples for split in facts.splits}
    for leak in sorted(facts.leaks, key=lambda leak: leak.held != "test"):  # what spoils the last judgement first
        yield text(
            "report.warn.leak",
            "{count} of {total} {held} samples are {known} samples too, to the byte: {pairs}. What is measured on "
            "them is too good; keep each sample in one split only.",
            count=leak.count,
            total=samples[leak.held],
            held=leak.held,
            known=leak.known,
            pairs=", ".join(f"{leak.held}[{a}] = {leak.known}[{b}]" for a, b in leak.pairs[:3])
            + (" …" if leak.count > 3 else ""),
        )


def _contradictions(facts: DataFacts) -> Iterator[str]:
    for split in facts.splits:
        if split.contradictions.count:
            yield text(
                "report.warn.contradiction",
                "{count} of {total} {split} samples equal an earlier one and have another class: {first}. One of both "
                "labels is wrong.",
                **_of(split, split.contradictions),
            )


def _absent(facts: DataFacts) -> Iterator[str]:
    """Classes that cannot be learned."""
    names = [name for name, count in zip(facts.class_names, facts.train.classes, strict=False) if not count]
    if names:
        yield text(
            "report.warn.absent",
            "{count} of {total} classes have no training sample: {names}.",
            count=len(names),
            total=len(facts.class_names),
            names=_listed(names),
        )


def _unbalanced(facts: DataFacts) -> Iterator[str]:
    counts = [count for count in facts.train.classes if count]
    if not counts or max(counts) < _UNBALANCED * min(counts):
        return
    most, least = (facts.class_names[facts.train.classes.index(pick)] for pick in (max(counts), min(counts)))
    yield text(
        "report.warn.unbalanced",
        "The classes are unbalanced: {most!r} has {many} training samples, {least!r} has {few}. Who always answers {most!r} is "
        "right in {share}; look at precision and recall, not at accuracy alone.",
        most=most,
        many=format_number(max(counts)),
        least=least,
        few=format_number(min(counts)),
        share=format_value(max(counts) / sum(counts), "fraction"),
    )


def _large_values(facts: DataFacts) -> Iterator[str]:
    ranges = facts.train.ranges
    reach = max((max(abs(r.minimum), abs(r.maximum)) for r in ranges), default=0.0) * (facts.scale or 1)
    if reach > _LARGE:
        yield text(
            "report.warn.range",
            "Values run from {low} to {high}, and reach the model like that. Most models learn better or at all "
            "from values of about −1 … 1: divide by the largest, or subtract the mean and divide by the deviation.",
            low=format_number(min(r.minimum for r in ranges)),
            high=format_number(max(r.maximum for r in ranges)),
        )


def _duplicates(facts: DataFacts) -> Iterator[str]:
    for split in facts.splits:
        if split.duplicates.count > _REPEATED * split.samples:
            yield text(
                "report.warn.duplicates",
                "{count} of {total} {split} samples are an earlier one again: {first}. They count several times.",
                **_of(split, split.duplicates),
            )


def _texts(facts: DataFacts) -> Iterator[str]:
    for split in facts.splits:
        if split.words and (split.words.unknown or 0) > _UNKNOWN:
            yield text(
                "report.warn.unknown_words",
                "{share} of the words of the {split} texts are not in the vocabulary. A larger vocabulary or more training texts help.",
                share=format_value(split.words.unknown, "fraction"),
                split=split.name,
            )
    words = facts.train.words
    if words and facts.task == "classification" and words.lengths[-1] > _CUT_OFF * facts.train.samples:
        yield text(
            "report.warn.cut_off",
            "{share} of the training texts fill their {length} places, so they were probably cut off.",
            share=format_value(words.lengths[-1] / facts.train.samples, "fraction"),
            length=len(words.lengths) - 1,
        )


def _constant(facts: DataFacts) -> Iterator[str]:
    """Columns of a table that say nothing; borders of images are often of one colour."""
    if facts.constant and facts.constant.count and len(facts.input_shape) == 1:
        yield text(
            "report.warn.constant",
            "{count} of {total} features have the same value in all training samples: {first}. Nothing can be "
            "learned from them.",
            count=facts.constant.count,
            total=facts.input_shape[0],
            first=_first(facts.constant),
        )


def _small(facts: DataFacts) -> Iterator[str]:
    for split in facts.splits[1:]:
        if split.samples == 0:
            yield text(
                "report.warn.empty", "There are no {split} samples, so nothing is judged by them.", split=split.name
            )
        elif split.classes and (few := [n for n, c in zip(facts.class_names, split.classes, strict=False) if c < _FEW]):
            yield text(
                "report.warn.few",
                "{count} of {total} classes have fewer than {least} {split} samples: {names}. What is measured on "
                "them is a matter of chance.",
                count=len(few),
                total=len(facts.class_names),
                least=_FEW,
                split=split.name,
                names=_listed(few),
            )


_CHECKS: tuple[Callable[[DataFacts], Iterator[str]], ...] = (
    _missing,
    _leaks,
    _contradictions,
    _absent,
    _unbalanced,
    _large_values,
    _duplicates,
    _texts,
    _constant,
    _small,
)


def _of(split: SplitFacts, places: Places) -> dict[str, object]:
    return {"count": places.count, "total": split.samples, "split": split.name, "first": _first(places)}


def _first(places: Places) -> str:
    shown = ", ".join(map(str, places.first))
    return shown + (" …" if places.count > len(places.first) else "")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
