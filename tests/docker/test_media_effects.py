"""Published effects of delivery methods, seen by the shipped scenarios: direction and order of magnitude.

Each has a comparison of one block, whose runs are read as a user would read them. The bounds are far from what was
measured, so that a busy machine does not matter; the figures stand in docs/how-to/compare-delivery-methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trials

from seatrial.analysis.results import RunResult
from seatrial.analysis.run import analyse_run
from seatrial.measure.requests import FlowDetail, Traffic
from seatrial.measure.services import ServiceUse
from seatrial.record.folder import RunFolder

pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.long]

MIB = 1 << 20
SHORT = ("--design", "runs", "--blocks", "1", "--set", "load.drain=1s")
REPORTED = {0, 1, 5, 7}
"""Of one block nothing is decided, and other programs on the host make a run invalid: neither matters here."""


def compared(
    folder: Path, scenario: str, base: str, others: str, warmup: str = "2s", window: str = "8s"
) -> Mapping[str, RunResult]:
    """Compare variants of a shipped scenario in one block; return the result of each run by its variant."""
    words = ("--variants", others, "--set", f"compare.base={base}", "--warmup", warmup, "--duration", window)
    done = trials.seatrial("compare", scenario, "--results", str(folder), *SHORT, *words)
    assert done.returncode in REPORTED, done.stderr
    runs = {document["variant"]: path for path, document in trials.runs(folder)}
    assert set(runs) == {base, *others.split(",")}, done.stderr
    found = {name: analyse_run(RunFolder(path)) for name, path in runs.items()}
    assert {name: one.info.error for name, one in found.items() if one.info.status != "complete"} == {}
    return found


def service(run: RunResult, name: str) -> ServiceUse:
    """Return what a service used in the window."""
    (use,) = (one.use for one in run.services if one.use.service == name)
    return use


def peak_mib(run: RunResult, name: str, kind: str) -> float:
    """Return the highest value of a memory class in MiB."""
    return (service(run, name).memory[kind].peak or 0) / MIB


def endpoint(run: RunResult, label: str) -> Traffic:
    """Return the requests of an endpoint."""
    (traffic,) = (one for one in run.endpoints if one.name == label)
    return traffic


def detail(run: RunResult, key: str) -> FlowDetail:
    """Return a detail of the flows `play`."""
    (found,) = (one for one in run.details if (one.flow, one.key) == ("play", key))
    return found


@pytest.fixture(scope="module")
def slow_viewers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RunResult]:
    """Four viewers who have buffered enough, in front of eight threads or two workers."""
    folder = tmp_path_factory.mktemp("slow")
    return compared(folder, "media-slow-viewers", "sync-2-unbuffered", "sync-2,gthread-unbuffered")


def test_four_slow_viewers_pin_two_workers_and_not_eight_threads(slow_viewers: Mapping[str, RunResult]) -> None:
    """A probe of /ping finds a worker or waits 2 s in vain."""
    waits = endpoint(slow_viewers["sync-2-unbuffered"], "ping")
    free = endpoint(slow_viewers["gthread-unbuffered"], "ping")

    assert waits.count >= 3
    assert waits.failures >= waits.count / 2
    assert set(waits.outcomes) <= {"ok", "timeout", "cut"}
    assert free.failures == 0
    assert free.count >= 10


def test_files_of_nginx_free_the_workers_and_are_dirty_page_cache(slow_viewers: Mapping[str, RunResult]) -> None:
    """Some 30 MB for each viewer that no figure of anonymous memory shows; without files next to nothing."""
    stored = slow_viewers["sync-2"]
    others = ("sync-2-unbuffered", "gthread-unbuffered")

    assert endpoint(stored, "ping").failures == 0
    assert peak_mib(stored, "nginx", "file_dirty_bytes") > 30
    assert peak_mib(stored, "nginx", "file_dirty_bytes") > 3 * peak_mib(stored, "nginx", "anon_bytes")
    assert max(peak_mib(slow_viewers[name], "nginx", "file_dirty_bytes") for name in others) < 5


def _cpu_s_per_gib(run: RunResult) -> float:
    (fetched,) = run.origin
    return (service(run, "media").gained["cpu_ns"] or 0) / 1e9 / (fetched.bytes / 2**30)


def test_ranges_cost_a_multiple_where_werkzeug_iterates_over_the_file_of_uwsgi(tmp_path: Path) -> None:
    """By line: 27.7 against 3.1 CPU seconds a GiB in uWSGI 2.0.21 with Werkzeug 2.2."""
    runs = compared(tmp_path, "media-delivery", "base", "file-wrapper")

    assert _cpu_s_per_gib(runs["file-wrapper"]) > 5 * _cpu_s_per_gib(runs["base"])


def test_a_cache_without_slices_fetches_whole_clips_for_viewers_who_leave(tmp_path: Path) -> None:
    """60 MB for 2 s of a clip, where the service alone sends little more than what the viewer reads."""
    runs = compared(tmp_path, "media-cache", "unbuffered", "cached", warmup="0s")
    fetched = {name: one.per_played or 0.0 for name, run in runs.items() for one in run.origin}

    assert fetched["cached"] > 4 * fetched["unbuffered"] > 0


def test_workers_that_come_as_needed_save_idle_memory_and_cost_start_up(tmp_path: Path) -> None:
    """One process in place of ten waits for eight viewers, and uWSGI adds some a second."""
    runs = compared(tmp_path, "media-workers", "static", "spare", warmup="0s", window="12s")
    idle = {name: service(run, "media").memory["anon_bytes"].start or 0 for name, run in runs.items()}
    startup = {name: detail(run, "startup_s") for name, run in runs.items()}

    assert idle["static"] > 3 * idle["spare"] > 0
    assert startup["spare"].mean > 2 * startup["static"].mean
    assert startup["spare"].max > 2 * startup["static"].max
