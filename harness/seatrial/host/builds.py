"""Builds a stack's images ahead of a run, under the names that a run of the base variant gives them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from seatrial.errors import EngineUnavailable, ImageMissing, UsageError
from seatrial.stack.built_images import build_project, image_changes
from seatrial.stack.compose_yaml import dump, parsed
from seatrial.stack.interpolation import dotenv, required

_READ_S = 30
_WITHIN_S = 1800
_WORD = "throw-away"


def build(compose_file: Path) -> None:
    """Have Compose build what the file's services are built from, its output on ours; ImageMissing if it fails.

    A variable without which the file can't be read, and which nobody has set, gets a word that means nothing: a
    secret belongs to a run, not to an image.
    """
    folder = compose_file.absolute().parent
    argv = ["docker", "compose", "-p", build_project(compose_file.absolute())]
    argv += ["--project-directory", str(folder), "-f", str(compose_file)]
    environment = _environment(compose_file)
    read = _run([*argv, "config"], environment, within_s=_READ_S, capture=True)
    if read.returncode:
        raise UsageError("Compose can't read the stack", where=str(compose_file), seen=read.stderr.strip())
    names = image_changes(compose_file, {}, parsed(read.stdout))
    with TemporaryDirectory(prefix="seatrial-") as private:
        ours = Path(private, "names.yaml")
        ours.write_text(dump({"services": names}), encoding="utf-8")
        done = _run([*argv, "-f", str(ours), "build"], environment, within_s=_WITHIN_S)
    if done.returncode:
        raise ImageMissing(
            "the images could not be built",
            where=" ".join(argv),
            seen=f"exit code {done.returncode}; the reason is above",
            hint="seatrial images bootstrap makes the base image where no registry answers",
        )


def _environment(compose_file: Path) -> dict[str, str]:
    try:
        wanted = required(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the stack can't be read", where=str(compose_file), seen=str(error)) from error
    given = dotenv(compose_file.parent) | os.environ
    return {**os.environ, **{name: _WORD for name in wanted if not given.get(name)}}


def _run(
    argv: Sequence[str], environment: Mapping[str, str], *, within_s: float, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, env=environment, timeout=within_s, check=False, capture_output=capture, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(
            "the images can't be built", where=" ".join(argv), seen=str(error), hint="seatrial doctor"
        ) from error
