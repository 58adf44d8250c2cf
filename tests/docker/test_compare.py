"""Comparisons on real containers: interrupted and resumed, a stored base, and a rule that ends a run."""

import json
from pathlib import Path
from typing import Any

import pytest
import trials
from trials import SEATRIAL

from seatrial.host import images

pytestmark = pytest.mark.docker

SHORT = ("--warmup", "1s", "--duration", "2s", "--variants", "plus20mem", "--blocks", "2")
RUNS = ("--engine", "compose", "--design", "runs")


def _words(results: Path, *words: str) -> list[str]:
    return ["compare", "known-cpu", "--results", str(results), *SHORT, *RUNS, *words]


def _documents(results: Path) -> list[dict[str, Any]]:
    return [run for _, run in trials.runs(results) if run["sealed"]]


def _complete(results: Path) -> list[dict[str, Any]]:
    return [document for document in _documents(results) if document["status"] == "complete"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compare two variants in two blocks: interrupted after the first run, and resumed."""
    results = tmp_path_factory.mktemp("compare") / "results"

    def in_second_run() -> bool:
        return len(_documents(results)) == 1 and len(list(results.glob("*/runs/*"))) == 2

    done = trials.interrupted([*SEATRIAL, *_words(results)], results, in_second_run, within_s=230).done
    assert done.returncode == 130, done.stderr
    assert f"--resume {next(results.iterdir())}" in done.stderr
    (before,) = _complete(results)
    assert all(trials.labelled(run["run_id"]) == [] for run in _documents(results))

    again = trials.seatrial(*_words(results, "--resume"))

    assert again.returncode in {0, 1, 5}, again.stderr
    assert before["run_id"] in {run["run_id"] for run in _documents(results)}
    (results.parent / "output.txt").write_text(again.stdout)
    return results


def test_every_pair_is_there_once_and_complete(results: Path) -> None:
    """The interrupted run stays in its folder, and does not count."""
    pairs = sorted((run["variant"], run["block"]) for run in _complete(results))

    assert pairs == [("base", 1), ("base", 2), ("plus20mem", 1), ("plus20mem", 2)]


def test_twenty_per_cent_of_memory_is_seen_and_written_down(results: Path) -> None:
    """On the terminal, in verdict.json and in course.json."""
    (experiment,) = results.iterdir()
    course = json.loads((experiment / "course.json").read_text())
    verdict = json.loads((experiment / "verdict.json").read_text())

    assert "unreclaimable memory" in (results.parent / "output.txt").read_text()
    assert (course["blocks"], bool(course["stopped"])) == (2, True)
    assert verdict["compared"] is True


def test_a_stored_experiment_is_the_base(results: Path, tmp_path: Path) -> None:
    """The other side of the same machine is comparable; another load is not."""
    (stored,) = results.iterdir()
    words = ["--against", str(stored), "--blocks", "1"]

    same = trials.seatrial(*_words(tmp_path / "results", *words))
    other = trials.seatrial(*_words(tmp_path / "results", *words, "--users", "3"))

    assert same.returncode in {0, 1, 5}, same.stderr
    assert [run["variant"] for run in _documents(tmp_path / "results")] == ["plus20mem"]
    assert other.returncode == 6
    assert "load: users: 2 there, 3 here" in other.stderr


def test_a_rule_ends_a_run_early(tmp_path: Path) -> None:
    """Every hundredth request fails, and the rule allows none: exit code 5, the data is kept and sealed."""
    rule = "stop_when=[failures > 0.01%]"
    words = ("run", "known-cpu", "--variant", "flaky", "--results", str(tmp_path), "--set", rule)

    done = trials.seatrial(*words, "--warmup", "1s", "--duration", "60s", "--engine", "compose")

    assert done.returncode == 5, done.stderr
    assert "the run was stopped early" in done.stderr
    (document,) = _documents(tmp_path)
    assert "stopped early" in {note["kind"] for note in document["notes"]}
    assert document["rows"]["requests"] > 20
    assert trials.labelled(document["run_id"]) == []


@pytest.mark.alone
def test_a_run_of_a_built_stack_costs_little_beside_its_load(tmp_path: Path) -> None:
    """The target is five seconds; twice that, so that a busy machine does not fail it."""
    images.build(Path(__file__).parents[2] / "scenarios" / "stacks" / "known" / "compose.yaml")
    words = ("--results", str(tmp_path), "--warmup", "1s", "--duration", "2s", "--engine", "compose")
    done = trials.seatrial("run", "known-cpu", *words)

    (run,) = _complete(tmp_path)
    load_ns = run["spans"][-1]["until_ns"] - run["spans"][0]["from_ns"]
    assert run["timing"]["exit_ns"] - run["timing"]["command_ns"] - load_ns < 10e9, done.stderr
