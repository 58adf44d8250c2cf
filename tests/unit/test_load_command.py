"""The Locust child's command line and environment."""

from pathlib import Path

import pytest

from seatrial.errors import UsageError
from seatrial.load import command, driving
from seatrial.model import Load
from seatrial.wire.control import PLAN_VARIABLE, Plan


def _load(**parameters: str) -> Load:
    return Load(
        locustfile=Path("/x/pull.py"),
        users=3,
        warmup_s=1,
        duration_s=2,
        drain_s=1,
        user_classes=("Pull",),
        parameters=parameters,
    )


def test_parameters_become_options_and_classes_come_last() -> None:
    """Locust takes the user classes as positional words."""
    words = command.argv(_load(), "http://127.0.0.1:1", {"depth": "2"})

    assert "--depth=2" in words
    assert words[-1] == "Pull"
    assert words[words.index("--spawn-rate") + 1] == "3"


def test_the_environment_holds_no_setting_of_locust() -> None:
    """A LOCUST_USERS of the caller would change the run in silence."""
    inherited = {"LOCUST_USERS": "99", "PATH": "/bin", "HOME": "/root"}
    plan = Plan(records="/r", control="/c", seed=4)

    environment = command.environment(inherited, plan, {"WORD": "secret"}, Path("/empty"))

    assert "LOCUST_USERS" not in environment
    assert (environment["HOME"], environment["WORD"], environment["PATH"]) == ("/empty", "secret", "/bin")
    assert Plan.decode(environment[PLAN_VARIABLE]) == plan


def test_flags_and_values_that_look_like_options() -> None:
    """A value that begins with a dash stays a value; true and false say whether a flag is there."""
    assert command.options({"offset": "-5", "fast": "true", "slow": "false"}) == ["--offset=-5", "--fast"]


@pytest.mark.parametrize("name", ["run-time", "run-t", "users", "config", "stop-timeout", "locustfile"])
def test_a_parameter_that_the_harness_sets_is_refused(name: str) -> None:
    """Two values for --users would leave it to Locust which one holds; argparse takes abbreviations, too."""
    with pytest.raises(UsageError, match=name):
        driving.check(_load(**{name: "5s"}))
