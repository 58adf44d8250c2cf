"""Builds a stack's images ahead of a run, under the names that a run of the base variant gives them."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from seatrial.errors import EngineUnavailable, ImageMissing, UsageError
from seatrial.host.commands import NOT_FOUND, TOO_LATE, run_program
from seatrial.stack.built_images import build_project, image_changes
from seatrial.stack.compose_yaml import dump, parsed
from seatrial.stack.interpolation import dotenv, required

_READ_S = 30
_WITHIN_S = 1800
_PLACEHOLDER = "throw-away"


def build(compose_file: Path) -> None:
    """Build the images of the file's services with Compose, its output on ours; ImageMissing if that fails.

    A required variable that is not set gets a placeholder: a secret belongs to a run, not to an image.
    """
    folder = compose_file.absolute().parent
    argv = ["docker", "compose", "-p", build_project(compose_file.absolute())]
    argv += ["--project-directory", str(folder), "-f", str(compose_file)]
    try:
        variables = required(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the stack can't be read", where=str(compose_file), seen=str(error)) from error
    known = dotenv(compose_file.parent) | os.environ
    environment = {name: _PLACEHOLDER for name in variables if not known.get(name)}
    config = run_program([*argv, "config"], within_s=_READ_S, env=environment)
    if config.code in {NOT_FOUND, TOO_LATE}:
        raise EngineUnavailable(
            "the images can't be built", where=" ".join(argv), seen=config.errors, hint="seatrial doctor"
        )
    if config.code:
        raise UsageError("Compose can't read the stack", where=str(compose_file), seen=config.errors.strip())
    names = image_changes(compose_file, {}, parsed(config.output))
    with TemporaryDirectory(prefix="seatrial-") as private:
        override = Path(private, "names.yaml")
        override.write_text(dump({"services": names}), encoding="utf-8")
        built = run_program([*argv, "-f", str(override), "build"], within_s=_WITHIN_S, env=environment, shown=True)
    if built.code:
        raise ImageMissing(
            "the images could not be built",
            where=" ".join(argv),
            seen=built.errors or f"exit code {built.code}; the reason is above",
            hint="seatrial images bootstrap makes the base image where no registry answers",
        )
