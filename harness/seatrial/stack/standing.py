"""The services of a stack that is up already, for those who only watch it."""

from __future__ import annotations

from contextlib import closing

from seatrial.errors import UsageError
from seatrial.model import Service
from seatrial.stack.containers import View, as_services, label_of
from seatrial.stack.daemon import connect
from seatrial.stack.redaction import Redactor


def services(project_or_label: str) -> tuple[Service, ...]:
    """Return what runs in a Compose project, or with a `label=value`; UsageError if nothing does."""
    with closing(connect()) as client:
        label = label_of(project_or_label)
        found = View(client=client, label=label, once=frozenset(), redactor=Redactor({})).running()
    if not found:
        raise UsageError(
            f"nothing runs in {project_or_label!r}",
            expected="a Compose project, or label=value",
            hint="`docker compose ls` lists the projects",
        )
    return as_services(found)
