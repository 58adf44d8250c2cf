"""The command line: its table of commands, its help, and the exit code of each kind of end."""

import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from experiments import Truth, experiment

from seatrial import cli, commands
from seatrial.analysis.experiment import analyse
from seatrial.commands.runs import report_unseen_thresholds
from seatrial.errors import Interrupted, StackFailed, UsageError


def _failing(error: BaseException, cause: BaseException | None = None) -> click.Command:
    def fail() -> None:
        raise error from cause

    return click.Command("fail", callback=fail)


def _completed(*words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    completion = ShellComplete(cli.seatrial, {}, "seatrial", "_SEATRIAL_COMPLETE")
    return [one.value for one in completion.get_completions(list(words[:-1]), words[-1])]


def test_every_command_is_in_the_table() -> None:
    """No command is defined that can't be called."""
    modules = [
        importlib.import_module(f"seatrial.commands.{one.name}") for one in pkgutil.iter_modules(commands.__path__)
    ]
    defined = {one for module in modules for one in vars(module).values() if isinstance(one, click.Command)}
    inner = {one for group in defined if isinstance(group, click.Group) for one in group.commands.values()}

    assert {cli.load(name) for name in cli.COMMANDS} == defined - inner


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_has_the_help_of_each_command(name: str) -> None:
    """The list reads the source and does not import it; both texts have to be the same."""
    command = cli.load(name)

    assert command.name == name
    assert cli.seatrial.commands[name].get_short_help_str(limit=1000) == command.get_short_help_str(limit=1000)


def test_an_unknown_command_is_refused_with_the_nearest_one() -> None:
    """As click does it for any group."""
    result = CliRunner().invoke(cli.seatrial, ["shwo"])

    assert result.exit_code == 2
    assert "No such command 'shwo'. Did you mean 'show'?" in result.stderr


def test_a_shell_completes_commands_and_options() -> None:
    """Those of the program, and those of a command."""
    assert _completed("re") == ["recover", "report"]
    assert _completed("--ver") == ["--version"]
    assert _completed("show", "--form") == ["--format"]
    assert _completed("images", "b") == ["bootstrap", "build"]


@pytest.mark.parametrize(
    ("error", "cause", "code", "message"),
    [
        (UsageError("wrong", hint="do\nthis"), None, 2, "seatrial: wrong\n  hint:     do\n            this\n"),
        (Interrupted("stopped"), None, 130, "seatrial: stopped\n"),
        (click.ClickException("no"), None, 1, "Error: no\n"),
        (KeyboardInterrupt(), None, 130, "\nseatrial: interrupted\n"),
        (KeyboardInterrupt(), StackFailed("it fell"), 130, "\nseatrial: it fell\nseatrial: interrupted\n"),
    ],
    ids=["usage", "interrupted run", "click's own", "Ctrl-C", "Ctrl-C while a failed stack is torn down"],
)
def test_an_error_has_its_message_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, cause: BaseException | None, code: int, message: str
) -> None:
    """The process ends with what `run` returns; a failure whose teardown was interrupted is not lost."""
    assert _run(_failing(error, cause)) == code
    assert capsys.readouterr().err == message


def test_an_error_of_ours_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """The file can be attached to a report."""
    assert _run(_failing(ZeroDivisionError("oh"))) == 70
    message = capsys.readouterr().err
    traceback = Path(message.split("traceback: ")[1].strip())
    assert "seatrial: an error of ours: ZeroDivisionError: oh\n" in message
    assert "ZeroDivisionError: oh" in traceback.read_text()
    traceback.unlink()


@pytest.mark.parametrize(("returned", "code"), [(7, 7), (None, 0)])
def test_a_command_returns_its_exit_code(returned: int | None, code: int) -> None:
    """None is no failure."""
    assert _run(click.Command("one", callback=lambda: returned)) == code


def _run(program: click.Command) -> int:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["seatrial"])
        return cli.run(program)


@pytest.mark.parametrize(
    ("before", "during"),
    [(signal.SIG_DFL, signal.default_int_handler), (signal.SIG_IGN, signal.SIG_IGN)],
    ids=["as `main` leaves it", "ignored, as in a shell's background job"],
)
def test_a_command_is_interrupted_by_an_exception(before: signal.Handlers, during: object) -> None:
    """What a command does may have to be torn down; where Ctrl-C is ignored it stays so."""
    handler = signal.signal(signal.SIGINT, before)
    try:
        assert CliRunner().invoke(cli.seatrial, ["plugin"]).exit_code == 0
        assert signal.getsignal(signal.SIGINT) == during
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize(("scatter", "code"), [(0.001, 0), (0.3, 7)])
def test_a_noisy_machine_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scatter: float, code: int
) -> None:
    """Exit code 7, each refusal on a line; metrics outside the gate decide nothing."""
    truths = {name: Truth(scatter=scatter) for name in ("base", "again")}
    result = analyse(experiment(tmp_path, truths, command="selfcheck", gate=('p95 of "blob" within 5%',)))

    assert report_unseen_thresholds(result) == code

    errors = capsys.readouterr().err
    assert errors.count("the smallest that can is") == (1 if code else 0)
    assert 'p95 of "blob": a threshold of 5 %' in errors or not code
