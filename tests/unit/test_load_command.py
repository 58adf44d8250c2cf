"""The Locust child's command line and environment."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seatrial.errors import UsageError
from seatrial.load import child
from seatrial.model import Load, Variant
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
    words = child.argv(_load(), "http://127.0.0.1:1", {"depth": "2"})

    assert "--depth=2" in words
    assert words[-1] == "Pull"
    assert words[words.index("--spawn-rate") + 1] == "3"


def test_without_a_front_door_there_is_no_host() -> None:
    """The locustfile says where its users work."""
    assert "--host" in child.argv(_load(), "http://127.0.0.1:1", {})
    assert "--host" not in child.argv(_load(), "", {})


def test_the_environment_holds_no_setting_of_locust() -> None:
    """A LOCUST_USERS of the caller would change the run in silence."""
    inherited = {"LOCUST_USERS": "99", "PATH": "/bin", "HOME": "/root"}
    plan = Plan(records="/r", control="/c", seed=4)

    environment = child.environment(inherited, plan, {"WORD": "secret"}, Path("/empty"))

    assert "LOCUST_USERS" not in environment
    assert (environment["HOME"], environment["WORD"], environment["PATH"]) == ("/empty", "secret", "/bin")
    assert Plan.decode(environment[PLAN_VARIABLE]) == plan


def test_flags_and_values_that_look_like_options() -> None:
    """A value that begins with a dash stays a value; true and false say whether a flag is there."""
    assert child.options({"offset": "-5", "fast": "true", "slow": "false"}) == ["--offset=-5", "--fast"]


def test_locust_gets_our_file_beside_the_users_own() -> None:
    """A locustfile that knows nothing of Seatrial is recorded through it; it is there, and was not imported."""
    words = child.argv(_load(), "http://127.0.0.1:1", {})

    assert words[words.index("-f") + 1] == f"/x/pull.py,{child.plugin()}"
    assert child.plugin().is_file()


def test_the_harness_names_our_file_without_importing_it() -> None:
    """Locust patches the whole process that imports it."""
    script = (
        "import sys; from seatrial.load import child; child.plugin();"
        " print({'locust', 'gevent', 'seatrial.user'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == "set()\n"


def test_a_path_that_locust_would_take_for_two_is_refused() -> None:
    """It cuts the value of -f at commas."""
    with pytest.raises(UsageError, match="comma"):
        child.argv(replace(_load(), locustfile=Path("/x/a,b.py")), "http://127.0.0.1:1", {})


def test_several_processes_find_each_other_on_a_port_of_their_own() -> None:
    """Locust's default is one port for all runs of a machine, on all of its interfaces."""
    words = child.argv(replace(_load(), processes=2), "http://127.0.0.1:1", {}, master_port=4242)

    assert words[words.index("--processes") + 1] == "2"
    assert words[words.index("--master-bind-host") + 1] == "127.0.0.1"
    assert {words[words.index(name) + 1] for name in ("--master-bind-port", "--master-port")} == {"4242"}
    assert "--processes" not in child.argv(_load(), "http://127.0.0.1:1", {})


RESERVED_NAMES = [
    *("run-time", "run-t", "users", "config", "stop-timeout", "locustfile", "rate", "arrivals", "rate-file"),
    *("record", "processes", "master-bind-port"),
]


def test_what_can_not_be_named_or_set_is_refused_before_anything_starts() -> None:
    """A path that Locust would cut in two; a parameter that a variant sets."""
    with pytest.raises(UsageError, match="has a comma"):
        child.check_options(replace(_load(), locustfile=Path("/x/a,b.py")))
    with pytest.raises(UsageError) as caught:
        child.check_options(_load(), [Variant(name="fine"), Variant(name="a", parameters={"users": "3"})])

    assert caught.value.where == "load.parameters of the variant 'a'"


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_a_parameter_that_the_harness_sets_is_refused(name: str) -> None:
    """Two values for --users would leave it to Locust which one holds; argparse takes abbreviations, too."""
    with pytest.raises(UsageError, match=name):
        child.check_options(_load(**{name: "5s"}))
