"""Asks whether the `docker` command has Compose v2."""

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
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=PING_S, check=False)
    except FileNotFoundError as error:
        raise EngineUnavailable("the `docker` command is missing", hint=_COMPOSE_HINT) from error
    except subprocess.TimeoutExpired as error:
        raise EngineUnavailable("`docker compose version` does not return", hint=_COMPOSE_HINT) from error
    shown = asked.stdout.strip().removeprefix("v")
    if asked.returncode != 0 or not shown:
        raise EngineUnavailable("Docker has no Compose v2", seen=asked.stderr.strip()[-300:], hint=_COMPOSE_HINT)
    return shown
