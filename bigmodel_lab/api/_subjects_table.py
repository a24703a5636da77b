"""``list_subjects``: the large models whose memory can be estimated by name."""

from __future__ import annotations

from functools import cached_property

from bigmodel_lab._table import Table
from bigmodel_lab.api._name_table import UNKNOWN, NameTable, cut, member, short_sections
from bigmodel_lab.i18n import text
from bigmodel_lab.subjects import SUBJECTS, Subject
from bigmodel_lab.units import format_number


class SubjectTable(NameTable):
    """Names of the large models; shows itself as a table.

    >>> table = SubjectTable(("alexnet",))
    >>> table[0], table.rows[0].parameters
    ('alexnet', 61100840)
    """

    @cached_property
    def rows(self) -> tuple[Subject, ...]:
        """One a model; imported when first asked for."""
        return tuple(member(SUBJECTS, name) for name in self)

    def table(self, wide: int | None) -> Table:
        """Parameters, sample, training, package and source, one line a model."""
        heads = (
            text("models.name", "name"),
            text("models.parameters", "parameters"),
            text("subjects.sample", "one sample"),
            text("subjects.training", "trained by its authors with"),
            text("subjects.package", "needs"),
            text("subjects.source", "source"),
        )
        return Table(heads, tuple(_cells(subject, wide) for subject in self.rows), right={1})


def list_subjects() -> SubjectTable:
    """The large models that can be estimated by name: their names, shown as a table.

    Each is built from its published configuration with random weights. The table tells the number of parameters,
    what one sample is, how the authors trained it, the package that must be installed for it, and the source.

    >>> import bigmodel_lab as lab
    >>> "resnet50" in lab.list_subjects()
    True
    >>> print(str(lab.list_subjects()).splitlines()[0].split()[:3])
    ['name', 'parameters', 'one']
    """
    return SubjectTable(SUBJECTS.names())


def _cells(subject: Subject, wide: int | None) -> tuple[str, ...]:
    return (
        subject.name,
        format_number(subject.parameters),
        cut(str(subject.inputs), wide),
        cut(str(subject.training or UNKNOWN), wide),
        subject.package or "torch",
        cut(short_sections(subject.source), wide),
    )
