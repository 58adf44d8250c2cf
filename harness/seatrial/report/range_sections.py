"""Range cases as text: one line, the section of a run or of several variants, and the table of all cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seatrial.measure.ranges import RangeReport, RangeResult, RangeWord
from seatrial.report import numbers
from seatrial.report.tables import Section, Table, TableColumnKind, of_rows

CAPTION = "asked before the load; broken: players need it; deviates: they survive it"
_HEADS = (
    ("verdict", TableColumnKind.VERDICT),
    ("case", TableColumnKind.NAME),
    ("answer", TableColumnKind.BRIEF),
    ("RFC 9110", TableColumnKind.BRIEF),
    ("why", TableColumnKind.SENTENCE),
)
_WRONG = frozenset({RangeWord.BROKEN, RangeWord.DEVIATES})


def title(report: RangeReport) -> str:
    """Return what was asked: the address, and how long the file is."""
    size = "of unknown size" if report.size is None else f"{numbers.count(report.size)} bytes"
    return f"{report.url} · {size}"


def word(report: RangeReport) -> str:
    """Return the verdict: whether players get what they need."""
    return "PLAYS" if report.plays else "BROKEN"


def section(reports: Mapping[str, Sequence[RangeReport]]) -> Section:
    """Return the section of each variant's reports, or of a run without a name: what is not ok, and what is."""
    named = any(reports)
    rows = [
        row if named else row[1:]
        for name, each in reports.items()
        for row in ((name, *cells) for cells in _not_ok_rows(each))
    ]
    heads = (("variant", TableColumnKind.NAME), *_HEADS) if named else _HEADS
    return Section(name="ranges", title="Ranges", caption=CAPTION, table=of_rows(heads, rows))


def all_cases(report: RangeReport) -> Table:
    """Return a row for every case, in the order in which they were asked."""
    return of_rows(_HEADS, [_row(result) for result in report.results])


def _not_ok_rows(reports: Sequence[RangeReport]) -> list[tuple[str, ...]]:
    """Return a row for each case that was not ok in some run, the gravest first, and one for all others."""
    if not reports:
        return []
    found: dict[str, RangeResult] = {}
    for wanted in (RangeWord.BROKEN, RangeWord.DEVIATES, RangeWord.NOT_ASKED):
        for report in reports:
            for result in report.of(wanted):
                found.setdefault(result.name, result)
    fine = numbers.counted(len(reports[0].results) - len(found), "case")
    rest = [("OK", fine, *[""] * (len(_HEADS) - 2))] if fine else []
    return [*(_row(result) for result in found.values()), *rest]


def _row(result: RangeResult) -> tuple[str, ...]:
    why = f"{result.reason}; permitted: {result.permitted}" if result.word in _WRONG else result.reason
    return (str(result.word).upper(), result.name, result.seen, f"{result.section} {result.force}", why)
