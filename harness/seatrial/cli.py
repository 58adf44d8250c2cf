"""The command line: a group of commands, each imported when it is run; errors become exit codes."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import click

from seatrial.errors import ExitCode, SeatrialError

COMMANDS = {
    "run": "runs.run",
    "compare": "runs.compare",
    "selfcheck": "runs.selfcheck",
    "capacity": "runs.capacity",
    "observe": "runs.observe",
    "show": "results.show",
    "report": "results.report",
    "list": "results.list_",
    "up": "stacks.up",
    "down": "stacks.down",
    "images": "stacks.images",
    "validate": "stacks.validate",
    "ranges": "stacks.ranges",
    "recover": "results.recover",
    "clean": "stacks.clean",
    "doctor": "stacks.doctor",
    "media": "media.media",
    "plugin": "stacks.plugin",
    "schema": "stacks.schema",
}
"""The function of each command in `seatrial.commands`: to import them all takes over a second."""


class ListedCommand(click.Command):
    """A command in the list and in a shell's completion: its help is read from the source without an import."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the beginning of the docstring."""
        module, _, function = COMMANDS[str(self.name)].partition(".")
        source = (Path(__file__).parent / "commands" / f"{module}.py").read_text(encoding="utf-8")
        definitions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        self.help = ast.get_docstring(definitions[function])
        return super().get_short_help_str(limit)


class LazyGroup(click.Group):
    """Imports a command only when that one is to be run (click's documentation, "Lazily Loading Subcommands")."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the named command; from then on Ctrl-C is a KeyboardInterrupt again (`__main__`)."""
        name, _, rest = super().resolve_command(ctx, args)
        command = load(name) if name else None
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return name, command, rest


def load(name: str) -> click.Command:
    """Import a command."""
    module, _, function = COMMANDS[name].partition(".")
    command: click.Command = getattr(importlib.import_module(f"seatrial.commands.{module}"), function)
    return command


@click.group(
    cls=LazyGroup,
    commands={name: ListedCommand(name) for name in COMMANDS},
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
    except BrokenPipeError:  # `seatrial list | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__  # `shielded` makes the failure whose teardown was interrupted the cause
        while cause is not None and not isinstance(cause, SeatrialError):
            cause = cause.__cause__
        if cause is not None:
            click.echo(f"seatrial: {cause}", err=True)
        click.echo("seatrial: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  (any other error is a bug: its traceback is kept for a report)
        with tempfile.NamedTemporaryFile("w", prefix="seatrial-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
        click.echo(f"seatrial: an error of ours: {type(error).__name__}: {error}", err=True)
        click.echo(f"  traceback: {file.name}", err=True)
        return ExitCode.OUR_FAULT
    return code if isinstance(code, int) else 0
