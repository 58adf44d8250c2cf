"""Builds a stack's images ahead of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from seatrial.errors import EngineUnavailable, ImageMissing

_WITHIN_S = 1800


def build(compose_file: Path) -> None:
    """Have Compose build what the file's services are built from, its output on ours; ImageMissing if it fails."""
    argv = ["docker", "compose", "-f", str(compose_file), "build"]
    try:
        done = subprocess.run(argv, timeout=_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(
            "the images can't be built", where=" ".join(argv), seen=str(error), hint="seatrial doctor"
        ) from error
    if done.returncode:
        raise ImageMissing(
            "the images could not be built",
            where=" ".join(argv),
            seen=f"exit code {done.returncode}; the reason is above",
            hint="seatrial images bootstrap makes the base image where no registry answers",
        )
