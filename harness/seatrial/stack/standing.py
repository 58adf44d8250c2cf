"""The services of a stack that is up already, for those who only watch it."""

from __future__ import annotations

from collections.abc import Mapping

from seatrial.errors import UsageError
from seatrial.model import Service
from seatrial.stack.containers import View, of_project
from seatrial.stack.daemon import connect
from seatrial.stack.redaction import Redactor

_NO_SECRETS: Mapping[str, str] = {}


def services(project_or_label: str) -> tuple[Service, ...]:
    """Return what runs in a Compose project, or with a `label=value`; UsageError if nothing does."""
    label = project_or_label if "=" in project_or_label else of_project(project_or_label)
    client = connect()
    try:
        view = View(client=client, label=label, once=frozenset(), redactor=Redactor(_NO_SECRETS))
        found = view.running()
    finally:
        client.close()
    if not found:
        raise UsageError(
            f"nothing runs in {project_or_label!r}",
            expected="a Compose project, or label=value",
            hint="`docker compose ls` lists the projects",
        )
    return tuple(Service(name=one.service, container=one.id) for one in found)
