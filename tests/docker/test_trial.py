"""registry-pull on real containers, from the command to the report."""

import json

import pandas as pd
import pytest
import trials
from trials import Trial

pytestmark = [pytest.mark.docker, pytest.mark.alone]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Run one short trial for all tests of this file."""
    return trials.run(tmp_path_factory.mktemp("trial") / "results", "--engine", "compose")


def test_a_trial_ends_valid(trial: Trial) -> None:
    """Exit code 0, and the verdict is the first line of the report."""
    assert trial.done.returncode == 0, trial.done.stderr
    assert trial.done.stdout.startswith(" VALID  registry-pull")


def test_every_request_of_the_load_is_in_nginx_log_and_in_the_table(trial: Trial) -> None:
    """Except those that were refused or never sent."""
    lines = (trial.folder / "logs" / "nginx-access.log").read_text().splitlines()
    logged = [line for line in lines if json.loads(line)["user_agent"].startswith("seatrial/")]
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    sent = requests[~requests.outcome.isin(["refused", "cut"])]

    assert len(sent) == len(logged) > 50


def test_requests_and_samples_are_on_one_clock(trial: Trial) -> None:
    """Each service is sampled at least nine times a second while the requests are made."""
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    samples = pd.read_parquet(trial.folder / "samples.parquet")
    window = samples[samples.phase == "window"]
    rates = window.groupby("service", observed=True).t_ns.count() / 6.0

    assert set(rates.index) == {"nginx", "registry", "auth", "redis", "generator", "host", "sampler"}
    assert rates.min() >= 9.0
    assert samples.t_ns.min() < requests.t_start_ns.min() < requests.t_end_ns.max() < samples.t_ns.max()


def test_every_pull_and_login_is_a_flow(trial: Trial) -> None:
    """A pull of containerd makes two token exchanges; each request belongs to a flow."""
    requests = pd.read_parquet(trial.folder / "requests.parquet")
    flows = pd.read_parquet(trial.folder / "flows.parquet")
    tokens = (requests.endpoint == "token").sum()

    assert set(flows.flow) == {"pull", "login"}
    assert (flows.flow == "login").sum() == tokens
    assert set(requests.flow_id.dropna()) <= set(flows.flow_id)


def test_nothing_is_left_behind(trial: Trial) -> None:
    """No container, network, volume or process carries the run's mark."""
    assert trials.left_behind(trial.document["run_id"]) == []


def test_no_secret_is_in_the_run_folder(trial: Trial) -> None:
    """Tokens and passwords stay in memory; the signing key stays in its volume."""
    for path in trial.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"PRIVATE KEY" not in content, path
        assert b"eyJ" not in content, path  # how every JWT begins
        assert b"grant_type" not in content, path


def test_the_report_can_be_printed_again_from_the_folder(trial: Trial) -> None:
    """The same text, without progress on standard error."""
    again = trials.seatrial("show", "--results", str(trial.results))

    assert again.returncode == 0
    assert again.stdout == trial.done.stdout
    assert again.stderr == ""


def test_facts_of_the_run_are_kept(trial: Trial) -> None:
    """The subject and its environment."""
    facts = trial.document["facts"]

    assert set(facts["subject"]["images"]) >= {"nginx", "registry", "auth", "redis"}
    assert facts["environment"]["engine"]["storage_driver"]
    assert trial.document["url_via"] == "container address"
