"""What the doctor found, as a person reads it: the state of each thing, why it matters, and how it is mended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seatrial.report.console import standard_output

_FINE = "ok"
_STYLES = {"ok": "green", "distorts": "yellow", "lacks": "red"}


class Finding(Protocol):
    """One thing that was looked at; `state` is `ok`, or says what is the matter in one word."""

    @property
    def name(self) -> str:
        """What was looked at."""
        ...

    @property
    def state(self) -> str:
        """How it is."""
        ...

    @property
    def seen(self) -> str:
        """What is there."""
        ...

    @property
    def why(self) -> str:
        """What it does to a run."""
        ...

    @property
    def mend(self) -> str:
        """The command, or the words, that mend it."""
        ...


def render(findings: Sequence[Finding], console: Console | None = None) -> str:
    """Return the findings in their order, as wide as `console`; why and mend only of what is not ok."""
    out = console or standard_output()
    bad = sum(finding.state != _FINE for finding in findings)
    said = "everything is there" if not bad else f"{bad} of {len(findings)} want a look"
    with out.capture() as captured:
        out.print(_table(findings), highlight=False)
        out.print(Text(f"\n{said}", style="bold"), end="")
    return captured.get()


def render_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list."""
    names = ("name", "state", "seen", "why", "mend")
    return json.dumps([{name: str(getattr(finding, name)) for name in names} for finding in findings], indent=1)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for overflow in (False, False, True):
        table.add_column(no_wrap=not overflow, overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.state, style=_STYLES.get(finding.state, "red")), finding.name, Text(finding.seen)
        )
        if finding.state == _FINE:
            continue
        for text in (finding.why, f"-> {finding.mend}" if finding.mend else ""):
            if text:
                table.add_row("", "", Text(text))
    return table
