"""Runs the seeding command of a stack, beside the stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from seatrial.errors import SeedFailed
from seatrial.model import Stack, StackSpec
from seatrial.stack import children
from seatrial.stack.children import Job
from seatrial.stack.processes import Guard
from seatrial.wire.redaction_ import Redactor


def seed(
    spec: StackSpec, stack: Stack, command: tuple[str, ...], catalogue: Path, guard: Guard, timeout_s: float = 300
) -> None:
    """Run the command in the stack folder, with the spec's environment, which holds the secrets.

    SEATRIAL_FRONT_DOOR (empty without one) and SEATRIAL_CATALOGUE are set for it; `python` as the first word means
    this interpreter. SeedFailed if the command can't be started, fails, runs longer than `timeout_s`, or writes no
    catalogue.
    """
    if not command:
        return
    spec.logs.mkdir(parents=True, exist_ok=True)
    job = Job(
        argv=(sys.executable, *command[1:]) if command[0] == "python" else command,
        cwd=spec.folder,
        env={
            **os.environ,
            **spec.environment,
            "SEATRIAL_FRONT_DOOR": stack.url,
            "SEATRIAL_CATALOGUE": str(catalogue.absolute()),
            "NO_PROXY": ",".join(stack.addresses),  # a proxy can't reach the stack
            "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into the stack folder
            "PYTHONUNBUFFERED": "1",
        },
        redactor=Redactor(spec.environment),
        log=spec.logs / "seed.log",
        deadline_s=timeout_s,
    )
    try:
        ended = children.run(job, guard)
    except OSError as error:
        raise SeedFailed("the seeding command can't be started", where=command[0], seen=str(error)) from error
    where = " ".join(command)
    if ended.code != 0:
        what = (
            f"did not end within {timeout_s:g} s" if ended.code is None else f"failed with exit code {ended.code}"
        )
        hint = f"SEATRIAL_FRONT_DOOR={stack.url}; the whole log is {job.log}"
        raise SeedFailed(f"seeding {what}", where=where, seen=ended.tail() or "it wrote nothing", hint=hint)
    if not catalogue.is_file():
        expected = f"the file {catalogue} ($SEATRIAL_CATALOGUE)"
        raise SeedFailed("seeding wrote no catalogue", where=where, expected=expected)
