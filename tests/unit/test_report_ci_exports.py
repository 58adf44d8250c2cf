"""Exports of an experiment for CI: Markdown, JUnit, benchmark.json, changes.csv, verdict.json and its schema."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import json_schema
import pytest
from experiments import HOSTILE_VARIANT, Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.experiment import maintenance
from seatrial.report import ci_exports, json_export

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "verdict.schema.json").read_text())


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResult:
    """Analyse a plain run that breaks one budget of two."""
    budgets = ('p95 of "blob" < 1s', "failures < 0.1%")
    truths = {"base": Truth(fails=5)}
    results = tmp_path_factory.mktemp("results")
    return analyse(experiment(results, truths, blocks=1, command="run", budgets=budgets))


def cases(result: ExperimentResult) -> list[ET.Element]:
    """Return the cases of the JUnit XML."""
    return list(ET.fromstring(ci_exports.junit(result)).iter("testcase"))  # noqa: S314  (our own)


def test_json_follows_its_schema(everything_result: ExperimentResult, tmp_path: Path) -> None:
    """Of every kind of experiment."""
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=2, command="run")
    results = [
        everything_result,
        analyse(experiment(tmp_path / "check", blocks=3, command="selfcheck")),
        analyse(stored),
        analyse(experiment(tmp_path / "new", {"head": Truth()}, blocks=2, against=str(stored))),
    ]

    assert [list(json_schema.problems(json.loads(json_export.text(each)), SCHEMA)) for each in results] == [[]] * 4


def test_the_schema_refuses_what_is_wrong(everything_result: ExperimentResult) -> None:
    """Otherwise the test above could not fail."""
    values = json_export.experiment_json(everything_result)

    assert list(json_schema.problems({**values, "verdict": "GOOD"}, SCHEMA))
    assert list(json_schema.problems({**values, "more": 1}, SCHEMA))
    assert list(json_schema.problems({name: each for name, each in values.items() if name != "runs"}, SCHEMA))


def test_markdown_shows_the_verdicts_and_folds_the_rest(everything_result: ExperimentResult) -> None:
    """Names are plain text."""
    text = ci_exports.markdown(everything_result)

    assert text.startswith("## ❌ REGRESSION: made-up")
    assert text.index("| variant |") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>")
    assert HOSTILE_VARIANT not in text


@pytest.mark.parametrize("most_bytes", [700, 3000, 6000])
def test_markdown_is_cut_before_it_is_refused(everything_result: ExperimentResult, most_bytes: int) -> None:
    """GitHub rejects a summary that is too long."""
    text = ci_exports.markdown(everything_result, most_bytes)

    assert len(text.encode()) <= most_bytes
    assert text.count("<details>") == text.count("</details>")
    assert "verdict.json" in text


def test_markdown_of_a_plain_run_shows_its_budgets(broken: ExperimentResult) -> None:
    """The broken one is not folded, and there is nothing about a comparison."""
    text, _, folded = ci_exports.markdown(broken).partition("<details>")

    assert text.startswith("## ❌ BUDGET BROKEN: made-up · run · 1 variant · 1 of 1 block")
    assert "- base: failures \\< 0.1%: broken: 4.69 %" in text
    assert "| verdict | variant | budget | measured |" in text
    assert "| BROKEN | base | failures \\< 0.1% |" in text
    assert "not compared" not in text
    assert "BROKEN" not in folded


def test_junit_fails_for_regressions_and_broken_budgets(
    everything_result: ExperimentResult, broken: ExperimentResult
) -> None:
    """INVALID is an error; what is not decided or withheld is skipped with its reason."""
    results = {(case.get("classname"), case.get("name")): case[0] for case in cases(everything_result)}
    skipped = results["made-up.flaky", 'p95 of "blob"']
    failed = {case.get("name"): case[0].get("message") or "" for case in cases(broken) if case[0].tag == "failure"}

    assert results["made-up.slow", 'p95 of "blob"'].tag == "failure"
    assert results["made-up.killed", "runs come to their end"].tag == "failure"
    assert results["made-up.killed", 'p95 of "blob"'].tag == "error"
    assert (skipped.tag, "fails more" in (skipped.get("message") or "")) == ("skipped", True)
    assert list(failed) == ["budget: failures < 0.1%"]
    assert failed["budget: failures < 0.1%"].startswith("failures < 0.1%: broken: 4.69 %")


def test_junit_has_the_order_of_the_common_schema(everything_result: ExperimentResult) -> None:
    """Properties before cases, in a case its result before its output; the counts add up."""
    suite = ET.fromstring(ci_exports.junit(everything_result))[0]  # noqa: S314  (our own)
    tags = [element.tag for element in suite]
    inner = [[element.tag for element in case] for case in suite.iter("testcase")]

    assert tags == ["properties"] + ["testcase"] * (len(tags) - 1)
    assert all(each[-1] == "system-out" and len(each) <= 2 for each in inner)
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(name) == str(sum(tag in each for each in inner))
    assert suite.get("tests") == str(len(inner))


def test_junit_of_text_that_xml_can_not_hold(everything_result: ExperimentResult) -> None:
    """A control character is replaced."""
    bad = replace(everything_result, plan=replace(everything_result.plan, scenario="a\x00b"))

    assert ET.fromstring(ci_exports.junit(bad)).tag == "testsuites"  # noqa: S314  (our own)


def test_benchmark_has_ranges_and_no_throughput(tmp_path: Path) -> None:
    """The chart page takes every value as smaller is better."""
    result = analyse(experiment(tmp_path, blocks=3, gate=("throughput", 'p95 of "blob"')))
    rows: list[dict[str, Any]] = json.loads(ci_exports.benchmark(result))

    assert {row["name"] for row in rows} == {
        f"{name}: {metric}" for name in ("base", "again") for metric in ('p95 of "blob"', "failures")
    }
    assert all(set(row) == {"name", "unit", "value", "range", "extra"} for row in rows)
    assert 20 < rows[0]["value"] < 40


def test_csv_has_a_row_for_each_block(everything_result: ExperimentResult) -> None:
    """Time, commit, and a column for each value; what is not used is empty."""
    rows = list(csv.DictReader(io.StringIO(ci_exports.changes(everything_result))))

    assert len(rows) == 6
    assert rows[0]["time"] == "2026-11-21T06:16:00Z"
    assert rows[0]["commit"] == "c" * 40
    assert float(rows[0]["base_p95_of_blob_ns"]) > 1e7
    assert rows[3]["slow_p95_of_blob_ns"] == ""


def test_saved_forms_stand_beside_the_plan(tmp_path: Path) -> None:
    """`seatrial list` shows an experiment in one line, by its saved verdict."""
    folder = experiment(tmp_path, blocks=2)
    result = analyse(folder)
    ci_exports.save(result, folder)
    (row,) = maintenance.list_runs(tmp_path)

    assert json.loads((folder / "verdict.json").read_text())["verdict"] == result.word
    assert {"verdict.md", "junit.xml", "benchmark.json", "changes.csv"} <= {path.name for path in folder.iterdir()}
    assert (row["run"], row["variant"], row["status"]) == (folder.name, "2 variants", result.word)
