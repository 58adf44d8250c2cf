"""Chooses an engine for the stack, and runs the stack with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from seatrial.errors import EngineUnavailable, UsageError
from seatrial.model import EngineName, Say, Stack, StackSpec
from seatrial.stack import attach as attaching
from seatrial.stack import compose, local
from seatrial.stack.compose_version import compose_version
from seatrial.stack.daemon import PING_S, connect
from seatrial.stack.processes import Guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine, and why it was taken."""

    engine: EngineName
    reason: str


def choose(
    requested: str, *, attach: str | None = None, compose_version: Callable[[], str] | None = None
) -> Choice:
    """Resolve `auto`, `compose`, `local` or `attach`; UsageError if nothing is named to which to `attach`.

    EngineUnavailable if `compose` or `attach` was asked for and no daemon answers within 5 s, or Compose is
    missing.
    """
    version = compose_version or docker_and_compose
    match requested:
        case "local":
            return Choice(engine=EngineName.LOCAL, reason="asked for")
        case "attach":
            if attach == "":
                raise UsageError(
                    "the engine `attach` needs the name of a stack that is up",
                    expected="--attach PROJECT, or --attach LABEL=VALUE",
                    hint="`docker compose ls` lists the projects",
                )
            connect(timeout_s=PING_S).close()
            return Choice(engine=EngineName.ATTACH, reason="asked for")
        case "compose":
            return Choice(engine=EngineName.COMPOSE, reason=f"asked for; {version()}")
        case "auto":
            try:
                return Choice(engine=EngineName.COMPOSE, reason=version())
            except EngineUnavailable as error:
                reason = f"{error.what}: {error.seen}" if error.seen else error.what
                return Choice(engine=EngineName.LOCAL, reason=reason)
        case _:
            raise UsageError(f"there is no engine {requested!r}", expected="auto, compose, local or attach")


def docker_and_compose() -> str:
    """Return the versions of the Docker API and of Compose; EngineUnavailable if one does not answer."""
    client = connect(timeout_s=PING_S)
    try:
        api = str(client.api.api_version)
    finally:
        client.close()
    return f"Docker API {api} and Compose {compose_version()} answer"


@contextmanager
def running(choice: Choice, spec: StackSpec, guard: Guard, say: Say) -> Iterator[Stack]:
    """Bring the stack up, wait until it is ready, and remove it at the end, also after a failure.

    With `attach`, `spec.project` names what is already up, and nothing is changed.
    """
    match choice.engine:
        case EngineName.COMPOSE:
            engine = compose.running(spec, guard, say)
        case EngineName.LOCAL:
            engine = local.running(spec, guard, say)
        case EngineName.ATTACH:
            engine = attaching.attached(spec.project, spec)
    with engine as stack:
        yield stack
