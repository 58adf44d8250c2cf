"""Tables in terminals of any width, and as Markdown."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from seatrial.report.tables import TableColumnKind, of_rows

WORDS, NUMBER, BRIEF = TableColumnKind.WORDS, TableColumnKind.NUMBER, TableColumnKind.BRIEF
HEADS = (("verdict", WORDS), ("metric", WORDS), ("effect", NUMBER), ("interval", NUMBER))
LONG = 'p95 of "GET /v2/library/very-long-repository-name/manifests"'
ROWS = (
    ("REGRESSION", "cpu per request", "+30.5 %", "+22.1 to +39.5 %"),
    ("INCONCLUSIVE", LONG, "> +1,000 %", "+642 to > +1,000 %"),
)


def printed(
    width: int, heads: Sequence[tuple[str, TableColumnKind]] = HEADS, rows: Sequence[Sequence[str]] = ROWS
) -> list[str]:
    """Return the lines of a table in a terminal of that width."""
    out = io.StringIO()
    Console(file=out, width=width).print(of_rows(heads, rows).to_rich(width), highlight=False)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120])
def test_no_word_is_broken_and_no_line_is_too_long(width: int) -> None:
    """A column of three characters would break REGRESSION into REG and RES."""
    lines = printed(width)

    assert max(map(len, lines)) <= width
    assert {word for row in ROWS for cell in row for word in cell.split()} <= set(" ".join(lines).split())


def test_a_table_that_fits_has_a_line_for_each_row() -> None:
    """Below its heads."""
    lines = printed(120)

    assert lines[0].split() == ["verdict", "metric", "effect", "interval"]
    assert len(lines) == 2 + len(ROWS)


def test_words_are_narrowed_before_numbers() -> None:
    """Down to the longest word; numbers keep their line."""
    lines = [" ".join(line.split()) for line in printed(105)]

    assert len(lines) > 2 + len(ROWS)
    assert 'INCONCLUSIVE p95 of "GET > +1,000 % +642 to > +1,000 %' in lines


def test_in_a_narrow_terminal_rows_are_lines() -> None:
    """Words above, and the numbers of all rows below each other, under their heads."""
    lines = printed(60)

    assert lines[0].split() == ["effect", "interval"]
    assert lines[1] == "REGRESSION · cpu per request"
    assert lines[2].endswith("+22.1 to +39.5 %")
    assert len(lines[0]) == len(lines[2]) == len(lines[-1])


@pytest.mark.parametrize(
    ("width", "heads", "row", "first", "below"),
    [
        (
            80,
            (("metric", WORDS), *((f"variant-{n}", NUMBER) for n in range(30))),
            ("throughput", *(["80.0/s"] * 30)),
            "throughput",
            " · ".join(f"variant-{n} 80.0/s" for n in range(30)),
        ),
        (
            60,
            (("verdict", WORDS), ("budget", WORDS), ("measured", WORDS)),
            ("BROKEN", f"{LONG} < 25ms", "30.1 ms (95 % over 3 blocks)"),
            f"BROKEN · {LONG} < 25ms",
            "30.1 ms (95 % over 3 blocks)",
        ),
        (
            30,
            (("offered", NUMBER), ("completed", NUMBER), ("p95 of blob", NUMBER), ("budgets", BRIEF)),
            ("50/s", "49/s", "25.0 ms", "kept"),
            "50/s",
            "completed 49/s · p95 of blob 25.0 ms · budgets kept",
        ),
    ],
    ids=["numbers by name", "words alone", "begins with a number"],
)
def test_numbers_of_a_line_are_named_below_it(
    width: int, heads: Sequence[tuple[str, TableColumnKind]], row: Sequence[str], first: str, below: str
) -> None:
    """Where they don't fit as columns; of words alone the last stands below."""
    lines = printed(width, heads, [row])

    assert " ".join(" ".join(lines).split()) == f"{first} {below}"
    assert next(line.split()[0] for line in lines if line.startswith("    ")) == below.split(maxsplit=1)[0]


def test_markdown_has_the_same_cells_as_plain_text() -> None:
    """Nothing in them has a meaning for Markdown or HTML."""
    table = of_rows(HEADS[:2], [("KEPT", "a|b</script>")])

    assert table.to_markdown() == "| verdict | metric |\n| --- | --- |\n| KEPT | a\\|b\\</script\\> |"
