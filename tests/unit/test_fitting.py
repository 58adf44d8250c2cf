"""Tables in a narrow terminal: what is said stays whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from seatrial.report.tables import TableColumnKind, of_rows

WORDS, NUMBER = TableColumnKind.WORDS, TableColumnKind.NUMBER
HEADS = (("verdict", WORDS), ("metric", WORDS), ("effect", NUMBER), ("interval", NUMBER))
LONG = 'p95 of "GET /v2/library/very-long-repository-name/manifests"'
ROWS = (
    ("REGRESSION", "cpu per request", "+30.5 %", "+22.1 to +39.5 %"),
    ("INCONCLUSIVE", LONG, "> +1,000 %", "+642 to > +1,000 %"),
)


def printed(
    width: int, heads: tuple[tuple[str, TableColumnKind], ...] = HEADS, rows: tuple[tuple[str, ...], ...] = ROWS
) -> str:
    """Return the table as a terminal of that width shows it."""
    out = io.StringIO()
    Console(file=out, width=width).print(of_rows(heads, rows).to_rich(width), highlight=False)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120])
def test_no_word_is_broken_and_no_number_is_cut(width: int) -> None:
    """A column of three characters would say REG and ULA; a line that is too long would be folded anywhere."""
    text = printed(width)

    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for word in (word for row in ROWS for cell in row for word in cell.split()):
        assert word in text.split()


def test_what_fits_is_a_table() -> None:
    """Heads once, a row a line."""
    lines = printed(120).splitlines()

    assert lines[0].split() == ["verdict", "metric", "effect", "interval"]
    assert len(lines) == 2 + len(ROWS)


def test_words_give_way_before_numbers() -> None:
    """Between the two forms a column of words is as narrow as its longest word, and numbers keep their line."""
    lines = [" ".join(line.split()) for line in printed(105).splitlines()]

    assert len(lines) > 2 + len(ROWS)
    assert 'INCONCLUSIVE p95 of "GET > +1,000 % +642 to > +1,000 %' in lines


def test_else_rows_are_lines_with_numbers_in_columns() -> None:
    """Words above, and the numbers of all rows right below each other, under their heads."""
    lines = [line.rstrip() for line in printed(60).splitlines()]

    assert lines[0].split() == ["effect", "interval"]
    assert lines[1] == "REGRESSION · cpu per request"
    assert lines[2].endswith("+22.1 to +39.5 %")
    assert len(lines[0]) == len(lines[2]) == len(lines[-1])


def test_too_many_columns_of_numbers_are_told_by_name() -> None:
    """Thirty variants do not stand side by side anywhere."""
    names = tuple(f"variant-{number}" for number in range(30))
    heads = (("metric", WORDS), *((name, NUMBER) for name in names))
    text = printed(80, heads, (("throughput", *("80.0/s" for _ in names)),))

    assert text.splitlines()[0] == "throughput"
    assert all(f"{name} 80.0/s" in " ".join(text.split()) for name in names)


def test_of_words_alone_the_last_stands_below() -> None:
    """A budget, and below it what was measured."""
    heads = (("verdict", WORDS), ("budget", WORDS), ("measured", WORDS))
    lines = printed(60, heads, (("BROKEN", f"{LONG} < 25ms", "30.1 ms (95 % over 3 blocks)"),)).splitlines()

    assert "".join(lines[:-1]).startswith("BROKEN · p95 of")
    assert lines[-1].rstrip() == "    30.1 ms (95 % over 3 blocks)"


def test_what_a_row_is_about_may_be_a_number() -> None:
    """A rate, and below it what came of it, by name."""
    heads = (
        ("offered", NUMBER),
        ("completed", NUMBER),
        ("p95 of blob", NUMBER),
        ("budgets", TableColumnKind.BRIEF),
    )
    text = printed(30, heads, (("50/s", "49/s", "25.0 ms", "kept"), ("60/s", "50/s", "1.20 s", "broken")))

    assert text.splitlines()[0].rstrip() == "50/s"
    assert "completed 49/s · p95 of blob 25.0 ms · budgets kept" in " ".join(text.split())


def test_markdown_holds_the_same_cells() -> None:
    """With nothing in them that Markdown or HTML would act on."""
    table = of_rows(HEADS[:2], [("KEPT", "a|b</script>")])

    assert table.to_markdown() == "| verdict | metric |\n| --- | --- |\n| KEPT | a\\|b\\</script\\> |"
