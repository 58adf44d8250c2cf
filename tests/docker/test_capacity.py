"""The search on a stack whose ceiling is known: 2 sync workers of 20 ms."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from trials import SEATRIAL

from seatrial.compare.capacity import EXIT_CODES, CapacityWord

pytestmark = [pytest.mark.docker, pytest.mark.alone]

EFFORT = ("--trial", "1s", "--sum", "4s", "--width", "15", "--validate", "5s")
BUDGET = ("--budget", 'p95 of "wait" < 100ms', "--budget", "failures < 1%")
CEILING_PER_S = 97.0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Search once, with little effort."""
    results = tmp_path_factory.mktemp("capacity")
    command = [*SEATRIAL, "capacity", "known-capacity", "--results", str(results), *EFFORT, *BUDGET, "--json"]
    done = subprocess.run(command, cwd=results, capture_output=True, text=True, timeout=300, check=False)
    return results, done


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    (told,) = json.loads(done.stdout)
    return dict(told)


def test_the_ceiling_is_found_within_a_quarter(found: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """A tenth of the usual effort: the bounds are 15 % apart, and a trial of a second sees little."""
    told = _told(found[1])

    assert told["lower_per_s"] == pytest.approx(CEILING_PER_S, rel=0.25), found[1].stderr
    assert told["lower_per_s"] < told["upper_per_s"]
    assert told["search_s"] < 90


def test_every_trial_is_told_with_what_came_of_it(found: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The curve: light load takes the service time, and overload completes no more than the ceiling."""
    trials = _told(found[1])["trials"]

    assert trials[0]["arrivals"] == 4
    assert trials[0]["latency_ns"] == pytest.approx(21e6, rel=0.5)
    flooded = [one["completed_per_s"] for one in trials if one["rate_per_s"] > 1.2 * CEILING_PER_S]
    assert flooded
    assert max(flooded) < 1.1 * CEILING_PER_S


def test_the_run_is_sealed_with_one_window_at_the_validated_rate(
    found: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """The folder is a run like any other; its window holds the validation alone."""
    results, done = found
    told = _told(done)
    (folder,) = results.glob("*/runs/*")
    document = json.loads((folder / "run.json").read_text())
    (window,) = [span for span in document["spans"] if span["phase"] == "window"]

    assert document["status"] == "complete"
    assert window["until_ns"] - window["from_ns"] == 5_000_000_000
    assert told["validation"]["rate_per_s"] == pytest.approx(0.95 * told["lower_per_s"])
    assert {slope["word"] for slope in told["validation"]["memory"]} == {"TOO SHORT"}
    assert json.loads((folder / "capacity.json").read_text()) == told
    assert (folder.parents[1] / "report.html").is_file()


def test_the_exit_code_is_that_of_the_word(found: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Whatever this machine made of it."""
    word = CapacityWord(_told(found[1])["word"])

    assert found[1].returncode == EXIT_CODES.get(word, 0)
