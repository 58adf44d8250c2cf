"""An experiment as JUnit XML: a case for each variant and gated metric, for budgets, and for how runs ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from seatrial.analysis.results import Weighed
from seatrial.compare.budgets import Kept
from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import Word
from seatrial.report import experiment_sections as words

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OF_WORD = {
    Word.REGRESSION: "failure",
    Word.INVALID: "error",
    Word.INCONCLUSIVE: "skipped",
    Word.LIKELY_REGRESSION: "skipped",
}
_OF_BUDGET = {Kept.BROKEN: "failure", Kept.NOT_DECIDED: "skipped"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One case; `came` is `failure`, `error`, `skipped`, or nothing for one that passed."""

    variant: str
    name: str
    came: str
    word: str
    text: str


def render(weighed: Weighed) -> str:
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
        suite.set("timestamp", words.began(weighed.began_ns).removesuffix(" UTC").replace(" ", "T"))
    properties = ET.SubElement(suite, "properties")
    for name, value in (("verdict", weighed.word), *words.how(weighed)):
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


def _cases(weighed: Weighed) -> Iterator[_Case]:
    comparison = weighed.comparison
    if comparison is None:
        came = "" if weighed.exit_code() != 5 else "error"  # noqa: PLR2004  (invalid)
        yield _Case(weighed.base, "run", came, weighed.word, weighed.why_not)
    else:
        for ending in comparison.endings:
            came = "failure" if ending.word is Word.REGRESSION else ""
            came = "skipped" if ending.word in (Word.LIKELY_REGRESSION, Word.INCONCLUSIVE) else came
            yield _Case(ending.variant, "runs come to their end", came, str(ending.word or "KEPT"), ending.text)
        yield from (_of_verdict(one) for one in words.ordered(comparison.gated))
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
