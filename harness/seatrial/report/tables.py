"""Tables and sections as values, rendered for a terminal of some width or as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from rich import table as rich_table
from rich.box import Box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

WIDE = 98
"""The width, in characters, from which every column is shown: a terminal of 100 without a section's indent."""
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line of dashes under the head and nothing else, which looks the same on a terminal and in a log."""
_GAP = 2
_INDENT = 4
_READABLE = 24
"""A sentence in a narrower column is read word by word."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~])")


class TableColumnKind(Enum):
    """The content of a column: numbers are aligned to the right, everything else to the left."""

    NUMBER = auto()
    VERDICT = auto()
    NAME = auto()
    """Stays on one line, as a verdict does."""
    WORDS = auto()
    """May wrap; narrowed first."""
    BRIEF = auto()
    """May wrap after each word."""
    SENTENCE = auto()
    """May wrap; the page keeps a minimum width for it."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column; a `wide_only` one is left out of a narrow terminal."""

    head: str
    cells: Sequence[str]
    kind: TableColumnKind = TableColumnKind.NUMBER
    wide_only: bool = False

    @property
    def wraps(self) -> bool:
        """Whether a cell may take several lines."""
        return self.kind in (TableColumnKind.WORDS, TableColumnKind.BRIEF, TableColumnKind.SENTENCE)

    @property
    def natural(self) -> int:
        """The width without wrapping."""
        return max(map(cell_len, (self.head, *self.cells)))

    @property
    def least(self) -> int:
        """The smallest width: no word is broken, and a sentence can still be read."""
        if not self.wraps:
            return self.natural
        longest = max(cell_len(word) for text in (self.head, *self.cells) for word in text.split() or [""])
        return longest if self.kind is TableColumnKind.BRIEF else max(longest, min(self.natural, _READABLE))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts with its `bold` rows; without any head it is a list of named lines."""

    columns: tuple[TableColumn, ...]
    bold: frozenset[int] = frozenset()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def headed(self) -> bool:
        """Whether any column has a head."""
        return any(column.head for column in self.columns)

    def to_rich(self, width: int) -> RenderableType:
        """Return the table for a terminal of so many characters, without breaking any word.

        Columns of words are narrowed first, down to their longest word. If that is not enough, each row becomes a
        line with its words, and one below it with its numbers.
        """
        if not self.headed:
            return self._ruled(self.columns, [None] * len(self.columns))
        columns = [column for column in self.columns if width >= WIDE or not column.wide_only]
        widths = [column.natural for column in columns]
        least = [column.least for column in columns]
        room = width - _GAP * (len(columns) - 1)
        if sum(widths) <= room:
            return self._ruled(columns, [None] * len(columns))
        if sum(least) > room:
            return Group(*self._lines(columns, width))
        while sum(widths) > room:  # narrow the widest column that can be, by one character
            place = max(range(len(widths)), key=lambda column: (widths[column] > least[column], widths[column]))
            widths[place] -= 1
        return self._ruled(columns, widths)

    def to_markdown(self) -> str:
        """Return the table in GitHub's Markdown; all cells are plain text."""
        heads = tuple(column.head for column in self.columns)
        rows = [[escape_markdown(cell) for cell in row] for row in (heads, *self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(heads), *rows[1:]))

    def _ruled(self, columns: Sequence[TableColumn], widths: Sequence[int | None]) -> rich_table.Table:
        table = rich_table.Table(
            box=_RULED if self.headed else None,
            show_header=self.headed,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1 if self.headed else _GAP, 0, 0),
            header_style="bold",
        )
        for column, width in zip(columns, widths, strict=True):
            left = column.kind is not TableColumnKind.NUMBER
            table.add_column(
                column.head,
                justify="left" if left else "right",
                no_wrap=not column.wraps,
                overflow="fold",
                width=width,
            )
        for index, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
            table.add_row(*map(Text, row), style=self._style(index))
        return table

    def _lines(self, columns: Sequence[TableColumn], width: int) -> Iterator[RenderableType]:
        """Yield the words of each row and its numbers below; without numbers the last column stands below."""
        numbers = [place for place, column in enumerate(columns) if column.kind is TableColumnKind.NUMBER]
        first = max(numbers[0], 1) if numbers else len(columns) - 1
        below = columns[first:]
        widths = [column.natural for column in below]
        aligned = sum(widths) + _GAP * (len(widths) - 1) + _INDENT <= width and len(widths) > 1
        if aligned:
            yield _below(_aligned([column.head for column in below], widths), "bold")
        for index, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
            style = self._style(index)
            yield Text(" · ".join(filter(None, cells[:first])), style=style)
            if aligned:
                yield _below(_aligned(cells[first:], widths), style)
            elif not numbers:
                yield _below(cells[first], style)
            else:
                named = [
                    f"{column.head} {cell}".strip() for column, cell in zip(below, cells[first:], strict=True)
                ]
                yield _below(" · ".join(named), style)

    def _style(self, index: int) -> str:
        return "bold" if index in self.bold else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One titled table; `name` is its anchor, `caption` explains the columns, `footnote` what they leave out."""

    name: str
    title: str
    table: Table
    caption: str = ""
    footnote: str = ""


def column(
    head: str,
    rows: Iterable[Any],
    text: Callable[[Any], str],
    kind: TableColumnKind = TableColumnKind.NUMBER,
    *,
    wide_only: bool = False,
) -> TableColumn:
    """Return a column with the text of each row."""
    return TableColumn(head, [text(row) for row in rows], kind, wide_only)


def of_rows(heads: Sequence[tuple[str, TableColumnKind]], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of these rows."""
    cells = list(zip(*rows, strict=True)) or [()] * len(heads)
    return Table(tuple(TableColumn(head, column, kind) for (head, kind), column in zip(heads, cells, strict=True)))


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Return a list of named lines."""
    return of_rows((("", TableColumnKind.NAME), ("", TableColumnKind.SENTENCE)), rows)


def plain_lines(texts: Sequence[str]) -> Table:
    """Return a list of lines without names."""
    return Table((TableColumn("", texts, TableColumnKind.SENTENCE),))


def escape_markdown(text: str) -> str:
    """Return text without meaning for Markdown or HTML."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("@", "@\u200b")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    return gap.join(" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True))


def _below(text: str, style: str) -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, _INDENT), expand=False)
