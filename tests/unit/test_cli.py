"""The command line itself: which verbs there are, what listing them costs, and the exit code at its end."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from seatrial import cli, commands
from seatrial.errors import Interrupted, StackFailed, UsageError


def _failing(error: BaseException, cause: BaseException | None = None) -> click.Command:
    def fail() -> None:
        raise error from cause

    return click.Command("fail", callback=fail)


def _completed(*words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    completion = ShellComplete(cli.seatrial, {}, "seatrial", "_SEATRIAL_COMPLETE")
    return [one.value for one in completion.get_completions(list(words[:-1]), words[-1])]


def test_every_verb_is_in_the_table() -> None:
    """No command is defined that can't be called."""
    modules = [
        importlib.import_module(f"seatrial.commands.{one.name}") for one in pkgutil.iter_modules(commands.__path__)
    ]
    defined = {one for module in modules for one in vars(module).values() if isinstance(one, click.Command)}
    inner = {one for group in defined if isinstance(group, click.Group) for one in group.commands.values()}

    assert {cli.load(name) for name in cli.COMMANDS} == defined - inner


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_says_of_a_verb_what_it_says_of_itself(name: str) -> None:
    """The list reads its source and does not import it; both texts have to be the same."""
    verb = cli.load(name)

    assert verb.name == name
    assert cli.seatrial.commands[name].get_short_help_str(limit=1000) == verb.get_short_help_str(limit=1000)


def test_an_unknown_verb_is_refused_with_the_nearest_one() -> None:
    """As click does it for any group."""
    told = CliRunner().invoke(cli.seatrial, ["shwo"])

    assert told.exit_code == 2
    assert "No such command 'shwo'. Did you mean 'show'?" in told.stderr


def test_a_shell_completes_verbs_and_options() -> None:
    """The program's, and those of a verb."""
    assert _completed("re") == ["recover", "report"]
    assert _completed("--ver") == ["--version"]
    assert _completed("show", "--form") == ["--format"]
    assert _completed("images", "b") == ["bootstrap", "build"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("wrong", hint="do this"), 2, "seatrial: wrong\n  hint:     do this\n"),
        (Interrupted("stopped"), 130, "seatrial: stopped\n"),
        (click.ClickException("no"), 1, "Error: no\n"),
        (KeyboardInterrupt(), 130, "\nseatrial: interrupted\n"),
    ],
)
def test_an_error_has_its_words_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    """The process ends with what `run` returns."""
    assert _run(_failing(error)) == code
    assert capsys.readouterr().err == said


def test_an_interrupted_teardown_says_what_was_torn_down_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A stack that failed to come up, and Ctrl-C before it was gone: the failure is not lost."""
    assert _run(_failing(KeyboardInterrupt(), StackFailed("it fell over"))) == 130
    assert capsys.readouterr().err == "\nseatrial: it fell over\nseatrial: interrupted\n"


def test_an_error_of_ours_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """The file can be attached to a report."""
    assert _run(_failing(ZeroDivisionError("oh"))) == 70
    said = capsys.readouterr().err
    kept = Path(said.split("traceback: ")[1].strip())
    assert "seatrial: an error of ours: ZeroDivisionError: oh\n" in said
    assert "ZeroDivisionError: oh" in kept.read_text()
    kept.unlink()


def test_a_verb_gives_its_exit_code() -> None:
    """None is no failure."""
    assert _run(click.Command("one", callback=lambda: 7)) == 7
    assert _run(click.Command("one", callback=lambda: None)) == 0


def _run(program: click.Command) -> int:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["seatrial"])
        return cli.run(program)


@pytest.mark.parametrize(
    ("before", "during"),
    [
        (signal.SIG_DFL, signal.default_int_handler),
        (signal.SIG_IGN, signal.SIG_IGN),
    ],
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
