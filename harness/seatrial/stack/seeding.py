"""Runs the stack's own seeding command beside the stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from seatrial.errors import SeedFailed
from seatrial.model import Stack
from seatrial.stack import children
from seatrial.stack.children import Ended, Job
from seatrial.stack.guard import Guard
from seatrial.stack.redaction import Redactor
from seatrial.stack.spec import StackSpec


def seed(
    spec: StackSpec, stack: Stack, command: tuple[str, ...], catalogue: Path, guard: Guard, timeout_s: float = 300
) -> None:
    """Run the command in the stack folder; it gets the front door, the catalogue's path and the secrets.

    SEATRIAL_FRONT_DOOR (empty without one) and SEATRIAL_CATALOGUE tell it; `python` as the first word means this
    interpreter. SeedFailed if it can't be started, fails, runs longer than `timeout_s`, or writes no catalogue.
    """
    if not command:
        return
    spec.logs.mkdir(parents=True, exist_ok=True)
    job = Job(
        argv=(sys.executable, *command[1:]) if command[0] == "python" else command,
        cwd=spec.folder,
        env=_environment(spec, stack, catalogue),
        redactor=Redactor(spec.environment),
        log=spec.logs / "seed.log",
        deadline_s=timeout_s,
    )
    try:
        ended = children.run(job, guard)
    except OSError as error:
        raise SeedFailed("the seeding command can't be started", where=command[0], seen=str(error)) from error
    _check(ended, " ".join(command), timeout_s, f"SEATRIAL_FRONT_DOOR={stack.url}; the whole log is {job.log}")
    if not catalogue.is_file():
        expected = f"the file {catalogue} ($SEATRIAL_CATALOGUE)"
        raise SeedFailed("seeding wrote no catalogue", where=" ".join(command), expected=expected)


def _check(ended: Ended, command: str, timeout_s: float, hint: str) -> None:
    if ended.code is None:
        raise SeedFailed(
            f"seeding did not end within {timeout_s:g} s", where=command, seen=ended.tail(), hint=hint
        )
    if ended.code != 0:
        seen = ended.tail() or "it wrote nothing"
        raise SeedFailed(f"seeding failed with exit code {ended.code}", where=command, seen=seen, hint=hint)


def _environment(spec: StackSpec, stack: Stack, catalogue: Path) -> dict[str, str]:
    return {
        **os.environ,
        **spec.environment,
        "SEATRIAL_FRONT_DOOR": stack.url,
        "SEATRIAL_CATALOGUE": str(catalogue.absolute()),
        "NO_PROXY": ",".join(stack.addresses),  # no proxy stands between us and our own stack
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into the stack folder
        "PYTHONUNBUFFERED": "1",
    }
