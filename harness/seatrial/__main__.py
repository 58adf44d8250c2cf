"""`seatrial` and `python -m seatrial`: the only place where the process's exit code is decided."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

import click

from seatrial import cli
from seatrial.errors import SeatrialError

_OUR_FAULT = 70
_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        code = cli.seatrial(standalone_mode=False)
    except SeatrialError as error:
        click.echo(f"seatrial: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # `seatrial list | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("seatrial: interrupted", err=True)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  (whatever else it is, it is ours: kept for the report, exit 70)
        click.echo(f"seatrial: an error of ours: {type(error).__name__}: {error}", err=True)
        click.echo(f"  traceback: {_kept_traceback()}", err=True)
        return _OUR_FAULT
    return code if isinstance(code, int) else 0


def _kept_traceback() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="seatrial-", suffix=".traceback", delete=False) as file:
        traceback.print_exc(file=file)
        return file.name


if __name__ == "__main__":
    sys.exit(main())  # noqa: TID251  (the entry point of `python -m seatrial`)
