"""An experiment as Markdown, for the summary of a CI job or a pull request: the verdict first, the rest folded."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.analysis.results import Weighed
from seatrial.report import experiment_cells
from seatrial.report import experiment_sections as words
from seatrial.report.tables import markdown

MOST_BYTES = 900_000
"""GitHub refuses a summary of more than 1 MiB as a whole; there may be others in the same step."""

_CUT = "\n\n*Cut here: the whole is in verdict.json and report.html.*\n"
_MARKS = {"KEPT": "✅", "INCONCLUSIVE": "❔"}


def render(result: Weighed, most_bytes: int = MOST_BYTES) -> str:
    """Return the Markdown, in at most so many bytes."""
    whole = "\n\n".join(_parts(result)) + "\n"
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


def _parts(result: Weighed) -> Iterator[str]:
    yield f"## {_MARKS.get(result.word, '❌')} {result.word}: {markdown(words.title(result))}"
    if result.plan.question:
        yield markdown(result.plan.question)
    yield "\n".join(f"- {markdown(reason)}" for reason in words.reasons(result))
    opened = "verdicts" if result.comparison else "budgets"
    sections = experiment_cells.sections(result)
    for section in sections:
        if section.name == opened:
            yield section.table.to_markdown()
            if result.comparison:
                yield f"Change against `{result.base}`; {experiment_cells.EXPLAINED}."
    for section in sections:
        if section.name != opened:
            title = f"{section.title}: {section.caption}" if section.caption else section.title
            yield f"<details><summary>{title}</summary>\n\n{section.table.to_markdown()}\n\n</details>"
