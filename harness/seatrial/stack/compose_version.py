"""The version of Compose v2."""

from __future__ import annotations

import subprocess

from seatrial.errors import EngineUnavailable
from seatrial.stack.daemon import PING_S

_COMPOSE_HINT = (
    "install Compose v2 (Ubuntu: `apt-get install docker-compose-v2`; Debian 13: `apt-get install "
    "docker-compose`; else https://docs.docker.com/compose/install/), or use `--engine local`"
)


def compose_version() -> str:
    """Return Compose's version; EngineUnavailable if there is no `docker compose`, or only the old one."""
    argv = ["docker", "compose", "version", "--short"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PING_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        seen = str(getattr(error, "stderr", None) or error).strip()[-300:]
        raise EngineUnavailable("Docker has no Compose v2", seen=seen, hint=_COMPOSE_HINT) from error
    return done.stdout.strip().removeprefix("v")
