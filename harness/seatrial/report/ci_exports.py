"""Exports of an experiment for CI: Markdown summary, JUnit XML, benchmark.json, changes.csv."""

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
from seatrial.analysis.run import utc
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.pairing import FINISHED, BlockMean, RunValues
from seatrial.compare.verdicts import Word
from seatrial.errors import ExitCode
from seatrial.measure.metric import Kind, Metric, Unit
from seatrial.record.folder import replacing, writing
from seatrial.report import experiment_sections, json_export, numbers
from seatrial.report.json_export import moment
from seatrial.report.tables import escape_markdown

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VERDICT_OUTCOMES = {
    Word.REGRESSION: "failure",
    Word.INVALID: "error",
    Word.INCONCLUSIVE: "skipped",
    Word.LIKELY_REGRESSION: "skipped",
}
_BUDGET_OUTCOMES = {BudgetWord.BROKEN: "failure", BudgetWord.NOT_DECIDED: "skipped"}
MOST_BYTES = 900_000
"""GitHub rejects a summary of more than 1 MiB, and a step may write several."""
_CUT = "\n\n*Cut here: the whole is in verdict.json and report.html.*\n"
_MARKS = {"KEPT": "✅", "INCONCLUSIVE": "❔"}
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case; `outcome` is `failure`, `error`, `skipped`, or empty for a pass."""

    variant: str
    name: str
    outcome: str
    word: str
    text: str


def junit(result: ExperimentResult) -> str:
    """Return the XML, its elements in the order of Jenkins' schema."""
    cases = list(_cases(result))
    outcomes = [case.outcome for case in cases]
    counts = {"tests": str(len(cases))}
    counts |= {f"{name}s": str(outcomes.count(name)) for name in ("failure", "error")}
    counts["skipped"] = str(outcomes.count("skipped"))
    root = ET.Element("testsuites", {"name": "seatrial", **counts, "time": "0"})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(result.plan.scenario), **counts, "time": "0"})
    if result.began_ns is not None:
        suite.set("timestamp", utc(result.began_ns).removesuffix(" UTC").replace(" ", "T"))
    properties = ET.SubElement(suite, "properties")
    for name, value in (("verdict", result.word), *experiment_sections.how_measured(result)):
        ET.SubElement(properties, "property", {"name": _xml(name), "value": _xml(value)})
    for case in cases:
        _append(suite, case, result.plan.scenario)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _append(suite: ET.Element, case: _Case, scenario: str) -> None:
    attributes = {"classname": _xml(f"{scenario}.{case.variant}"), "name": _xml(case.name), "time": "0"}
    element = ET.SubElement(suite, "testcase", attributes)
    text = _xml(case.text)
    if case.outcome == "skipped":
        ET.SubElement(element, "skipped", {"message": text})
    elif case.outcome:
        ET.SubElement(element, case.outcome, {"message": text, "type": case.word}).text = text
    ET.SubElement(element, "system-out").text = text


def _cases(result: ExperimentResult) -> Iterator[_Case]:
    comparison = result.comparison
    if comparison is None:
        outcome = "error" if result.exit_code() is ExitCode.INVALID else ""
        yield _Case(result.base, "run", outcome, result.word, result.why_not)
    else:
        for ending in comparison.endings:
            outcome = _VERDICT_OUTCOMES.get(ending.word, "") if ending.word else ""
            word = str(ending.word or "KEPT")
            yield _Case(ending.variant, "runs come to their end", outcome, word, ending.text)
        for verdict in experiment_sections.ordered(comparison.gated):
            outcome = "skipped" if verdict.withheld else _VERDICT_OUTCOMES.get(verdict.word, "")
            yield _Case(verdict.variant, verdict.metric.text, outcome, str(verdict.word), verdict.text)
    for variant, judged in experiment_sections.by_variant(result):
        outcome = _BUDGET_OUTCOMES.get(judged.word, "")
        yield _Case(variant, f"budget: {judged.budget.text}", outcome, str(judged.word), judged.text)


def _xml(text: str) -> str:
    """Return text without the control characters that XML can't hold."""
    return _NOT_XML.sub("\ufffd", text)


def markdown(result: ExperimentResult, most_bytes: int = MOST_BYTES) -> str:
    """Return the Markdown summary, cut off after so many bytes."""
    whole = "\n\n".join(_parts(result)) + "\n"
    if len(whole.encode()) <= most_bytes:
        return whole
    text, room = "", most_bytes - len(_CUT.encode()) - len(b"\n</details>")
    for line in whole.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        text += line
    folded = text.count("<details>") > text.count("</details>")
    return text + ("\n</details>" if folded else "") + _CUT


def _parts(result: ExperimentResult) -> Iterator[str]:
    title = escape_markdown(experiment_sections.title(result))
    yield f"## {_MARKS.get(result.word, '❌')} {result.word}: {title}"
    if result.plan.question:
        yield escape_markdown(result.plan.question)
    yield "\n".join(f"- {escape_markdown(reason)}" for reason in experiment_sections.reasons(result))
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


def benchmark(result: ExperimentResult) -> str:
    """Return `customSmallerIsBetter` of github-action-benchmark: name, value and range of each metric.

    Throughput is left out, because a larger one is better.
    """
    rows = [
        _entry(variant, metric, result.levels[variant][metric.text])
        for variant in result.levels
        for metric in _watched(result)
        if metric.kind is not Kind.THROUGHPUT and metric.text in result.levels[variant]
    ]
    return json.dumps(rows, indent=1) + "\n"


def changes(result: ExperimentResult) -> str:
    """Return one row for each block: time, commit, and a column for each variant's metric; empty if unknown."""
    watched = [(name, metric) for name in result.levels for metric in _watched(result)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["time", "commit", *(_column(name, metric) for name, metric in watched)])
    began = {run.block: run.began_ns for run in reversed(result.runs) if run.began_ns is not None}
    for number, block in zip(result.numbers, result.blocks, strict=True):
        values = [_value(block.get(name), metric) for name, metric in watched]
        writer.writerow([moment(began.get(number)) or "", result.commit, *values])
    return stream.getvalue()


def _watched(result: ExperimentResult) -> list[Metric]:
    """Return the gated metrics, else those of the budgets, else all."""
    if result.comparison:
        return list(dict.fromkeys(verdict.metric for verdict in result.comparison.gated))
    limited = {
        judged.budget.metric.text: judged.budget.metric for _, judged in experiment_sections.by_variant(result)
    }
    return list((limited or result.metrics).values())


def _entry(variant: str, metric: Metric, level: BlockMean) -> dict[str, Any]:
    unit, factor = numbers.UNITS[metric.unit]
    entry: dict[str, Any] = {"name": f"{variant}: {metric.text}", "unit": unit, "value": level.value * factor}
    if level.low is not None and level.high is not None:
        entry["range"] = f"± {(level.high - level.low) / 2 * factor:.3g}"
    return {**entry, "extra": f"mean of {level.blocks} block{'' if level.blocks == 1 else 's'}, range with 95 %"}


def _column(variant: str, metric: Metric) -> str:
    unit = {Unit.NS: "ns", Unit.BYTES: "bytes", Unit.SHARE: "share", Unit.PER_S: "per_s", Unit.COUNT: "count"}[
        metric.unit
    ]
    return "_".join(_NO_NAME.sub("_", part).strip("_") for part in (variant, metric.text, unit))


def _value(run: RunValues | None, metric: Metric) -> str:
    if run is None or run.invalid or run.ended != FINISHED:
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
"""By the name of the form: its file, and the function that makes it."""


def save(result: ExperimentResult, experiment: Path) -> None:
    """Write every form into the folder, each atomically; ResultsUnwritable if the disk refuses."""
    for name, form in FORMS.values():
        with writing(experiment / name), replacing(experiment / name) as stream:
            stream.write(form(result).encode())
