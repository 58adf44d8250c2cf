"""The command line: the group of all verbs, each imported when it is asked for, and the exit code at its end."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, MutableMapping

import click
from click.shell_completion import CompletionItem

from seatrial import starting
from seatrial.errors import ExitCode, SeatrialError

VERBS = {
    "run": ("runs.run", "Bring SCENARIO's stack up, drive it, watch it, judge it, and tear it down."),
    "compare": (
        "experiments.compare",
        "Compare SCENARIO's variants in blocks, and say in words which is better, worse, or not to be told apart.",
    ),
    "selfcheck": (
        "experiments.selfcheck",
        "Compare SCENARIO's base with itself: how much this machine scatters, and what it can't see.",
    ),
    "capacity": (
        "capacity.capacity",
        "Search the highest rate at which SCENARIO's stack keeps its budgets, and validate it.",
    ),
    "observe": ("runs.observe", "Watch a stack that is already up, without any load; nothing of it is touched."),
    "show": ("stored.show", "Print the report of a stored run or comparison again, from its folder alone."),
    "report": (
        "stored.report",
        "Make the page of a stored run: tables and charts in one file that needs no network; print its path.",
    ),
    "list": ("stored.list_", "List the stored runs, newest first."),
    "up": ("stacks.up", "Bring SCENARIO's stack up, seed it, leave it there, and print the locust line for it."),
    "down": ("stacks.down", "Remove the stack that `up` left (or all of them, if no PROJECT is named)."),
    "images": ("stacks.images", "Make the images that stacks are built from."),
    "validate": ("care.validate", "Check SCENARIO and tell every problem at once."),
    "recover": ("stored.recover", "Seal a run whose harness was killed, and show what it had recorded."),
    "clean": (
        "stacks.clean",
        "Remove what a killed run left: labelled objects whose owner is dead or whose deadline has passed.",
    ),
    "doctor": ("care.doctor", "Tell what this host has and lacks, and what will distort a measurement here."),
    "plugin": (
        "care.plugin",
        "Print the path of the file that gives any locustfile a recorder, a rate and a gate.",
    ),
    "schema": ("care.schema", "Print the JSON Schema of a scenario, for editors."),
}
"""Where each verb is in `seatrial.verbs`, and what it says of itself: to import them all takes over a second."""


class _Verbs(MutableMapping[str, click.Command]):
    """The verbs by name; each is imported when it is looked up."""

    def __init__(self) -> None:
        self._verbs: dict[str, click.Command | None] = dict.fromkeys(VERBS)

    def __getitem__(self, name: str) -> click.Command:
        verb = self._verbs[name]
        if verb is None:
            module, _, attribute = VERBS[name][0].partition(".")
            with starting.ended_at_once():
                verb = getattr(importlib.import_module(f"seatrial.verbs.{module}"), attribute)
            self._verbs[name] = verb
        return verb

    def __setitem__(self, name: str, verb: click.Command) -> None:
        self._verbs[name] = verb

    def __delitem__(self, name: str) -> None:
        del self._verbs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)


class _Program(click.Group):
    """The group: it lists and completes its verbs without importing any."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs, each with what it says of itself."""
        click.Group(commands=_stand_ins()).format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs that begin so, and the program's own options."""
        found = sorted((name, verb) for name, verb in _stand_ins().items() if name.startswith(incomplete))
        verbs = [CompletionItem(name, help=verb.get_short_help_str()) for name, verb in found]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


def _stand_ins() -> dict[str, click.Command]:
    return {name: click.Command(name, help=text) for name, (_, text) in VERBS.items()}


@click.group(
    cls=_Program,
    commands=_Verbs(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="seatrial")
def seatrial() -> None:
    """Load tests of container stacks: request latency and container memory on one clock, with a verdict."""


def run(program: click.Command = seatrial) -> int:
    """Run the command line and return its exit code."""
    try:
        code = program(standalone_mode=False)
    except SeatrialError as error:
        click.echo(f"seatrial: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # `seatrial list | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        if failure := _torn_down_for(error):
            click.echo(f"seatrial: {failure}", err=True)
        click.echo(starting.SAID, err=True, nl=False)
        return starting.INTERRUPTED
    except Exception as error:  # noqa: BLE001  (whatever else it is, it is ours: kept for the report, exit 70)
        click.echo(f"seatrial: an error of ours: {type(error).__name__}: {error}", err=True)
        click.echo(f"  traceback: {_kept_traceback()}", err=True)
        return ExitCode.OUR_FAULT
    return code if isinstance(code, int) else 0


def _torn_down_for(interrupt: BaseException) -> SeatrialError | None:
    """Return the failure whose teardown was interrupted, if there was one: `shielded` makes it the cause."""
    cause = interrupt.__cause__
    while cause is not None and not isinstance(cause, SeatrialError):
        cause = cause.__cause__
    return cause


def _kept_traceback() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="seatrial-", suffix=".traceback", delete=False) as file:
        traceback.print_exc(file=file)
        return file.name
