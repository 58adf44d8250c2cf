"""The search on a stack of known capacity: 2 sync workers of 20 ms."""

import json
from typing import Any

import pytest
import trials
from trials import Trial

from seatrial.compare.capacity import EXIT_CODES, CapacityWord

pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.long]

EFFORT = ("--trial", "1s", "--sum", "4s", "--width", "15", "--validate", "5s")
BUDGET = ("--budget", 'p95 of "wait" < 100ms', "--budget", "failures < 1%")
CEILING_PER_S = 97.0


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Search once, with little effort."""
    results = tmp_path_factory.mktemp("capacity")
    words = ("capacity", "known-capacity", "--results", str(results), *EFFORT, *BUDGET, "--json")
    return Trial(results, trials.seatrial(*words, cwd=results))


@pytest.fixture
def result(search: Trial) -> dict[str, Any]:
    """Return the result that was printed."""
    (result,) = json.loads(search.done.stdout)
    return dict(result)


def test_the_ceiling_is_found_within_a_quarter(search: Trial, result: dict[str, Any]) -> None:
    """A tenth of the usual effort: the bounds are 15 % apart, and a trial of a second sees little."""
    assert result["lower_per_s"] == pytest.approx(CEILING_PER_S, rel=0.25), search.done.stderr
    assert result["lower_per_s"] < result["upper_per_s"]
    assert result["search_s"] < 90
    assert search.done.returncode == EXIT_CODES.get(CapacityWord(result["word"]), 0)


def test_the_result_has_every_trial(result: dict[str, Any]) -> None:
    """Light load takes the service time, and overload completes no more than the capacity."""
    assert result["trials"][0]["arrivals"] == 4
    assert result["trials"][0]["latency_ns"] == pytest.approx(21e6, rel=0.5)
    flooded = [one["completed_per_s"] for one in result["trials"] if one["rate_per_s"] > 1.2 * CEILING_PER_S]
    assert flooded
    assert max(flooded) < 1.1 * CEILING_PER_S


def test_the_run_is_sealed_with_one_window_at_the_validated_rate(search: Trial, result: dict[str, Any]) -> None:
    """Its window is the validation."""
    folder, document = search.folder, search.document
    (window,) = [span for span in document["spans"] if span["phase"] == "window"]

    assert document["status"] == "complete"
    assert window["until_ns"] - window["from_ns"] == 5_000_000_000
    assert result["validation"]["rate_per_s"] == pytest.approx(0.95 * result["lower_per_s"])
    assert {slope["word"] for slope in result["validation"]["memory"]} == {"TOO SHORT"}
    assert json.loads((folder / "capacity.json").read_text()) == result
    assert (folder.parents[1] / "report.html").is_file()
