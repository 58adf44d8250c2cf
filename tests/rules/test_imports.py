"""Limits of imports: no gevent in the harness, and nothing slow before it is needed."""

import subprocess
import sys

import pytest

from seatrial import cli

ALL = "import sys, seatrial.cli as c; commands = [c.load(name) for name in c.COMMANDS]; "
CHARTS, SEARCH, STATISTICS = "bokeh", "MLRsearch", {"scipy.special", "scipy.stats"}


def _loaded(program: str) -> set[str]:
    """Return which modules are loaded after a program."""
    words = [sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_neither_locust_nor_gevent() -> None:
    """`import locust` patches every socket and sleep of its process: a harness that does that can't be trusted."""
    loaded = _loaded(f"{ALL}import seatrial.report.html, seatrial.host.facts as f; f.host_facts()")

    assert {f"seatrial.commands.{place.partition('.')[0]}" for place in cli.COMMANDS.values()} <= loaded
    assert {"locust", "gevent", "seatrial.user"} & loaded == set()


def test_listing_the_commands_imports_none() -> None:
    """`seatrial --help` and a shell's completion have to come at once; all imports take over a second."""
    program = (
        "import click.testing, seatrial.cli as c; "
        "assert 'doctor' in click.testing.CliRunner().invoke(c.seatrial, ['--help']).output; "
        "c.seatrial.shell_complete(click.Context(c.seatrial), '')"
    )
    loaded = _loaded(program)

    assert {name for name in loaded if name.startswith(("seatrial.commands.", "numpy", "scipy"))} == set()


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_a_command_imports_nothing_slow_that_only_others_need(verb: str) -> None:
    """The charts take a second to import, MLRsearch and scipy half a second each."""
    loaded = _loaded(f"import seatrial.cli as c; c.load({verb!r})")

    assert {CHARTS, SEARCH, *STATISTICS} & loaded == set()


def test_importing_the_user_package_starts_nothing() -> None:
    """Importing it opens no file and starts no thread; that waits for the first user."""
    program = (
        "import os; os.environ['LOCUST_SKIP_MONKEY_PATCH'] = '1'; import locust, threading; "
        "before = (threading.active_count(), sorted(os.listdir('/proc/self/fd'))); import seatrial.user; "
        "print(before == (threading.active_count(), sorted(os.listdir('/proc/self/fd'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "True\n"
