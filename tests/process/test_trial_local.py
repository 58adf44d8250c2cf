"""registry-pull on the embedded engine: the same services as processes, on a host whose Docker does not answer."""

from pathlib import Path

import pandas as pd
import pytest
import trials
from trials import Trial

pytestmark = [pytest.mark.servers, pytest.mark.alone]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Run one short trial for all tests of this file."""
    rule = 'stop_when=[p50 of "nobody asks this" > 1s]'
    return trials.run(tmp_path_factory.mktemp("local") / "results", "--engine", "local", "--set", rule)


def test_a_trial_ends_valid(trial: Trial) -> None:
    """The verdict names the engine, with the reason."""
    assert trial.done.returncode == 0, trial.done.stderr
    assert trial.done.stdout.splitlines()[0].startswith(" VALID  registry-pull · base · local engine")
    assert "embedded engine" in trial.done.stdout


def test_a_rule_without_a_value_is_noted(trial: Trial) -> None:
    """In run.json and in the report; the run counts all the same."""
    notes = {note["kind"]: note["text"] for note in trial.document["notes"]}

    assert notes["rule without a value"].startswith('stop_when: p50 of "nobody asks this" > 1s: ')
    assert "rule without a value" in trial.done.stdout


def test_memory_comes_from_the_process_trees(trial: Trial) -> None:
    """Every service is there; values that a process tree does not have are null."""
    samples = pd.read_parquet(trial.folder / "samples.parquet").set_index("service")

    assert {"nginx", "registry", "auth", "redis"} <= set(samples.index)
    assert samples.loc["auth"].anon_bytes.median() > 20e6
    assert samples.loc["auth"].kernel_bytes.isna().all()


def test_nothing_is_left_behind(trial: Trial) -> None:
    """No process carries the run's mark, and the keys and blobs of its work folder are gone."""
    assert trials.processes_of(trial.document["run_id"]) == []
    assert [path for path in (trial.folder / "work").rglob("*") if path.is_file()] == []


def test_auto_takes_it_where_docker_does_not_answer(tmp_path: Path) -> None:
    """With the reason in the report."""
    words = ("run", "registry-pull", "--results", str(tmp_path), "--warmup", "1s", "--duration", "2s")
    done = trials.seatrial(*words, DOCKER_HOST=f"unix://{tmp_path}/none.sock")

    assert done.returncode == 0, done.stderr
    assert "no Docker daemon answers" in done.stdout
