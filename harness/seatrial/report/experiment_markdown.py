"""An experiment as Markdown, for the summary of a CI job or a pull request: the verdict first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.report import experiment_cells
from seatrial.report import experiment_words as words
from seatrial.report.experiment_cells import Cells
from seatrial.report.weighed import Weighed

MOST_BYTES = 900_000
"""GitHub refuses a summary of more than 1 MiB as a whole; there may be others in the same step."""

_CUT = "\n\n*Cut here: the whole is in verdict.json and report.html.*\n"
_NOTHING = Cells((), ())
_MARKS = {"KEPT": "✅", "INCONCLUSIVE": "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def render(weighed: Weighed, most_bytes: int = MOST_BYTES) -> str:
    """Return the Markdown, in at most so many bytes."""
    whole = "\n\n".join(_parts(weighed)) + "\n"
    if len(whole.encode()) <= most_bytes:
        return whole
    kept, room = "", most_bytes - len(_CUT.encode()) - len(b"\n</details>")
    for line in whole.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        kept += line
    folded = kept.count("<details>") > kept.count("</details>")
    return kept + ("\n</details>" if folded else "") + _CUT


def _parts(weighed: Weighed) -> Iterator[str]:
    yield f"## {_MARKS.get(weighed.word, '❌')} {weighed.word}: {_plain(words.title(weighed))}"
    if weighed.plan.question:
        yield _plain(weighed.plan.question)
    yield "\n".join(f"- {_plain(reason)}" for reason in words.reasons(weighed))
    if weighed.comparison is None and weighed.budgets:
        yield _table(experiment_cells.budgets(weighed))
    gated = experiment_cells.verdicts(weighed.comparison.gated if weighed.comparison else ())
    if gated.rows:
        yield _table(gated)
        yield f"Change against `{weighed.base}`; {experiment_cells.EXPLAINED}."
    for title, cells in (
        ("Values, mean over the blocks that are used", experiment_cells.values(weighed)),
        ("Budgets", experiment_cells.budgets(weighed) if weighed.comparison else _NOTHING),
        ("How runs ended", experiment_cells.endings(weighed)),
        ("Runs that are not used", experiment_cells.left_out(weighed)),
        ("Noise floor of this machine", experiment_cells.floors(weighed)),
        ("Exploratory: nothing is decided by it", experiment_cells.exploratory(weighed)),
        ("How it was measured", Cells(("", ""), tuple(words.how(weighed)))),
    ):
        if cells.rows:
            yield f"<details><summary>{title}</summary>\n\n{_table(cells)}\n\n</details>"


def _table(cells: Cells) -> str:
    ruled = ["---"] * len(cells.heads)
    rows = [[_plain(cell) for cell in row] for row in (cells.heads, *cells.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ruled, *rows[1:]))


def _plain(text: str) -> str:
    """Return text as it is, without meaning for Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("@", "@\u200b")
