"""Exports for CI: Markdown, JUnit, benchmark.json, changes.csv."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from seatrial.analysis.results import ExperimentResult
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.pairing import BlockMean
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure.metric import Kind, Metric, Unit
from seatrial.record.folder import replacing, writing
from seatrial.report import experiment_sections, json_export
from seatrial.report import numbers as number_text
from seatrial.report.json_export import moment
from seatrial.report.tables import escape_markdown

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OF_WORD = {
    Word.REGRESSION: "failure",
    Word.INVALID: "error",
    Word.INCONCLUSIVE: "skipped",
    Word.LIKELY_REGRESSION: "skipped",
}
_OF_BUDGET = {BudgetWord.BROKEN: "failure", BudgetWord.NOT_DECIDED: "skipped"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One case; `came` is `failure`, `error`, `skipped`, or nothing for one that passed."""

    variant: str
    name: str
    came: str
    word: str
    text: str


def junit(weighed: ExperimentResult) -> str:
    """Return the XML; elements stand in the order that the common schema of Jenkins asks for."""
    cases = list(_cases(weighed))
    counts = {
        "tests": len(cases),
        "failures": sum(one.came == "failure" for one in cases),
        "errors": sum(one.came == "error" for one in cases),
        "skipped": sum(one.came == "skipped" for one in cases),
    }
    numbers = {name: str(count) for name, count in counts.items()}
    root = ET.Element("testsuites", {"name": "seatrial", **numbers, "time": "0"})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(weighed.plan.scenario), **numbers, "time": "0"})
    if weighed.began_ns is not None:
        suite.set("timestamp", experiment_sections.began(weighed.began_ns).removesuffix(" UTC").replace(" ", "T"))
    properties = ET.SubElement(suite, "properties")
    for name, value in (("verdict", weighed.word), *experiment_sections.how_measured(weighed)):
        ET.SubElement(properties, "property", {"name": _xml(name), "value": _xml(value)})
    for one in cases:
        _append(suite, one, weighed.plan.scenario)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _append(suite: ET.Element, one: _Case, scenario: str) -> None:
    named = {"classname": _xml(f"{scenario}.{one.variant}"), "name": _xml(one.name), "time": "0"}
    case = ET.SubElement(suite, "testcase", named)
    if one.came == "skipped":
        ET.SubElement(case, "skipped", {"message": _xml(one.text)})
    elif one.came:
        inner = ET.SubElement(case, one.came, {"message": _xml(one.text), "type": one.word})
        inner.text = _xml(one.text)
    ET.SubElement(case, "system-out").text = _xml(one.text)


def _cases(weighed: ExperimentResult) -> Iterator[_Case]:
    comparison = weighed.comparison
    if comparison is None:
        came = "" if weighed.exit_code() != 5 else "error"  # noqa: PLR2004  (invalid)
        yield _Case(weighed.base, "run", came, weighed.word, weighed.why_not)
    else:
        for ending in comparison.endings:
            came = "failure" if ending.word is Word.REGRESSION else ""
            came = "skipped" if ending.word in (Word.LIKELY_REGRESSION, Word.INCONCLUSIVE) else came
            yield _Case(ending.variant, "runs come to their end", came, str(ending.word or "KEPT"), ending.text)
        yield from (_of_verdict(one) for one in experiment_sections.ordered(comparison.gated))
    for variant, judged in weighed.budgets.items():
        for budget in judged:
            came = _OF_BUDGET.get(budget.word, "")
            yield _Case(variant, f"budget: {budget.budget.text}", came, str(budget.word), budget.text)


def _of_verdict(one: Verdict) -> _Case:
    came = "skipped" if one.withheld else _OF_WORD.get(one.word, "")
    return _Case(one.variant, one.metric.text, came, str(one.word), one.text)


def _xml(text: str) -> str:
    """Return text without the control characters that XML can't hold."""
    return _NOT_XML.sub("\ufffd", text)


MOST_BYTES = 900_000
"""GitHub refuses a summary of more than 1 MiB as a whole; there may be others in the same step."""
_CUT = "\n\n*Cut here: the whole is in verdict.json and report.html.*\n"
_MARKS = {"KEPT": "✅", "INCONCLUSIVE": "❔"}


def markdown(result: ExperimentResult, most_bytes: int = MOST_BYTES) -> str:
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


def _parts(result: ExperimentResult) -> Iterator[str]:
    title = escape_markdown(experiment_sections.experiment_title(result))
    yield f"## {_MARKS.get(result.word, '❌')} {result.word}: {title}"
    if result.plan.question:
        yield escape_markdown(result.plan.question)
    yield "\n".join(f"- {escape_markdown(reason)}" for reason in experiment_sections.experiment_reasons(result))
    opened = "verdicts" if result.comparison else "budgets"
    sections = experiment_sections.sections(result)
    for section in sections:
        if section.name == opened:
            yield section.table.to_markdown()
            if result.comparison:
                yield f"Change against `{result.base}`; {experiment_sections.EXPLAINED}."
    for section in sections:
        if section.name != opened:
            title = f"{section.title}: {section.caption}" if section.caption else section.title
            yield f"<details><summary>{title}</summary>\n\n{section.table.to_markdown()}\n\n</details>"


_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


def benchmark(weighed: ExperimentResult) -> str:
    """Return `customSmallerIsBetter` of github-action-benchmark: a name, a value and its range for each metric.

    Throughput, of which more is better, is left out.
    """
    rows = [
        _entry(variant, metric, weighed.levels[variant][metric.text])
        for variant in weighed.levels
        for metric in _watched(weighed)
        if metric.kind is not Kind.THROUGHPUT and metric.text in weighed.levels[variant]
    ]
    return json.dumps(rows, indent=1) + "\n"


def changes(weighed: ExperimentResult) -> str:
    """Return one row a block: time, commit, and a column for each variant's metric; empty where untold."""
    watched = [(name, metric) for name in weighed.levels for metric in _watched(weighed)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["time", "commit", *(_column(name, metric) for name, metric in watched)])
    began = {one.block: one.began_ns for one in reversed(weighed.runs) if one.began_ns is not None}
    for number, block in zip(weighed.numbers, weighed.blocks, strict=True):
        values = [_value(block.get(name), metric) for name, metric in watched]
        writer.writerow([moment(began.get(number)) or "", weighed.commit, *values])
    return stream.getvalue()


def _watched(weighed: ExperimentResult) -> list[Metric]:
    """Return what is gated, else what budgets are about, else all."""
    if weighed.comparison:
        return list(dict.fromkeys(one.metric for one in weighed.comparison.gated))
    limited = [one.budget.metric for each in weighed.budgets.values() for one in each]
    return [*{one.text: one for one in limited}.values()] or list(weighed.metrics.values())


def _entry(variant: str, metric: Metric, level: BlockMean) -> dict[str, Any]:
    unit, factor = number_text.UNITS[metric.unit]
    entry: dict[str, Any] = {"name": f"{variant}: {metric.text}", "unit": unit, "value": level.value * factor}
    if level.low is not None and level.high is not None:
        entry["range"] = f"± {(level.high - level.low) / 2 * factor:.3g}"
    return {**entry, "extra": f"mean of {level.blocks} block{'' if level.blocks == 1 else 's'}, range with 95 %"}


def _column(variant: str, metric: Metric) -> str:
    unit = {Unit.NS: "ns", Unit.BYTES: "bytes", Unit.SHARE: "share", Unit.PER_S: "per_s", Unit.COUNT: "count"}[
        metric.unit
    ]
    return "_".join(_NO_NAME.sub("_", part).strip("_") for part in (variant, metric.text, unit))


def _value(run: Any, metric: Metric) -> str:  # noqa: ANN401  (a run, or None)
    if run is None or run.invalid or run.ended != "finished":
        return ""
    value = run.values.get(metric.text)
    return "" if value is None else f"{value:.9g}"


FORMS: Mapping[str, tuple[str, Callable[[ExperimentResult], str]]] = {
    "json": ("verdict.json", json_export.text),
    "markdown": ("verdict.md", markdown),
    "junit": ("junit.xml", junit),
    "benchmark": ("benchmark.json", benchmark),
    "csv": ("changes.csv", changes),
}
"""By the name of the form: its file, and what makes it."""


def save(weighed: ExperimentResult, experiment: Path) -> None:
    """Write every form into the folder, each whole or not at all; ResultsUnwritable if the disk refuses."""
    for name, form in FORMS.values():
        with writing(experiment / name), replacing(experiment / name) as stream:
            stream.write(form(weighed).encode())
