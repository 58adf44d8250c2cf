"""Tables in the width that there is: no word and no number is broken, and no column goes missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

_GAP = 2
_INDENT = 4
_READABLE = 24
"""A sentence in a narrower column is read word by word."""


def fitted(table: Table, width: int) -> RenderableType:
    """Return the table where it fits into so many characters with every word whole; else its rows as lines.

    Columns of words give way first, down to their longest word; then each row becomes a line with its words, and
    one below it with its numbers.
    """
    columns = table.columns
    natural = [max(map(cell_len, _texts(column))) for column in columns]
    least = [_least(column, whole) for column, whole in zip(columns, natural, strict=True)]
    room = width - _GAP * (len(columns) - 1)
    if sum(natural) <= room:
        return table
    if sum(least) > room:
        return Group(*_lines(table, width))
    for column, given in zip(columns, _given(natural, least, room), strict=True):
        column.width = given
    return table


def _texts(column: Column) -> list[str]:
    return [str(column.header), *map(str, column.cells)]


def _least(column: Column, natural: int) -> int:
    if column.no_wrap:
        return natural
    longest = max(cell_len(word) for text in _texts(column) for word in text.split() or [""])
    return max(longest, min(natural, _READABLE))


def _given(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return how wide each column may be: the widest that can give way does, one character after the other."""
    widths = list(natural)
    while sum(widths) > room:
        place = max(range(len(widths)), key=lambda one: (widths[one] > least[one], widths[one]))
        widths[place] -= 1
    return widths


def _lines(table: Table, width: int) -> Iterator[RenderableType]:
    columns = table.columns
    first = _first_number(columns)
    numbers = columns[first:]
    widths = [max(map(cell_len, _texts(column))) for column in numbers]
    aligned = sum(widths) + _GAP * (len(widths) - 1) + _INDENT <= width and len(widths) > 1
    if aligned:
        yield _below(_aligned([str(column.header) for column in numbers], widths), "bold")
    for index, row in enumerate(table.rows):
        cells = [str(list(column.cells)[index]) for column in columns]
        style = str(row.style or "")
        yield Text(" · ".join(filter(None, cells[:first])), style=style)
        if aligned:
            yield _below(_aligned(cells[first:], widths), style)
        else:
            yield _below(_paired(numbers, cells[first:]), style)


def _first_number(columns: Sequence[Column]) -> int:
    """Return where the numbers begin; of words alone the last column stands below the others."""
    return next((place for place, one in enumerate(columns) if one.justify == "right"), len(columns) - 1)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    return gap.join(" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True))


def _paired(columns: Sequence[Column], cells: Sequence[str]) -> str:
    if len(columns) == 1 and columns[0].justify == "left":
        return cells[0]
    return " · ".join(f"{column.header} {cell}".strip() for column, cell in zip(columns, cells, strict=True))


def _below(text: str, style: str) -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, _INDENT), expand=False)
