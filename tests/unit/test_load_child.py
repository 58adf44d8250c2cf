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
    load = Load(
        locustfile=Path("/x/pull.py"), users=3, warmup_s=1, duration_s=2, drain_s=1, user_classes=("Pull",)
    )
    return replace(load, parameters=parameters)


def test_the_command_has_the_host_parameters_and_user_classes() -> None:
    """Classes are positional, true is a flag, a value may begin with a dash; no front door, no host."""
    words = child.argv(_load(), "http://127.0.0.1:1", {"depth": "2"})

    assert "--depth=2" in words
    assert words[-1] == "Pull"
    assert words[words.index("--spawn-rate") + 1] == "3"
    assert words[words.index("-f") + 1] == f"/x/pull.py,{child.plugin()}"
    assert child.plugin().is_file()
    assert "--host" in words
    assert "--host" not in child.argv(_load(), "", {})
    assert child.options({"offset": "-5", "fast": "true", "slow": "false"}) == ["--offset=-5", "--fast"]


def test_the_environment_has_no_setting_of_locust() -> None:
    """A LOCUST_USERS of the caller would change the run silently."""
    inherited = {"LOCUST_USERS": "99", "PATH": "/bin", "HOME": "/root"}
    plan = Plan(records="/r", control="/c", seed=4)

    environment = child.environment(inherited, plan, {"WORD": "secret"}, Path("/empty"))

    assert "LOCUST_USERS" not in environment
    assert (environment["HOME"], environment["WORD"], environment["PATH"]) == ("/empty", "secret", "/bin")
    assert Plan.decode(environment[PLAN_VARIABLE]) == plan


def test_the_plugin_is_not_imported_by_the_harness() -> None:
    """It imports Locust, which patches the whole process."""
    script = (
        "import sys; from seatrial.load import child; child.plugin();"
        " print({'locust', 'gevent', 'seatrial.user'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == "set()\n"


def test_several_processes_have_a_port_of_their_own() -> None:
    """Locust's default is one port for all runs of a machine, on all of its interfaces."""
    words = child.argv(replace(_load(), processes=2), "http://127.0.0.1:1", {}, master_port=4242)

    assert words[words.index("--processes") + 1] == "2"
    assert words[words.index("--master-bind-host") + 1] == "127.0.0.1"
    assert {words[words.index(name) + 1] for name in ("--master-bind-port", "--master-port")} == {"4242"}
    assert "--processes" not in child.argv(_load(), "http://127.0.0.1:1", {})


def test_a_comma_in_the_path_and_parameters_of_variants_are_checked() -> None:
    """Locust would cut the path in two."""
    with pytest.raises(UsageError, match="has a comma"):
        child.check_options(replace(_load(), locustfile=Path("/x/a,b.py")))
    with pytest.raises(UsageError) as caught:
        child.check_options(_load(), [Variant(name="fine"), Variant(name="a", parameters={"users": "3"})])

    assert caught.value.where == "load.parameters of the variant 'a'"


@pytest.mark.parametrize("name", ["run-time", "run-t", *child.RESERVED[::5], "master-bind-port"])
def test_a_parameter_that_the_harness_sets_is_refused(name: str) -> None:
    """Of two values for --users Locust would choose one; argparse accepts abbreviations, too."""
    with pytest.raises(UsageError, match=name):
        child.check_options(_load(**{name: "5s"}))
