"""A stack's spec for tests of the engines."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from seatrial.model import FrontDoor, Probe, StackSpec, Variant


def stack_spec(compose_file: Path, work: Path, **changes: Any) -> StackSpec:  # noqa: ANN401  (fields of a spec)
    """Return the spec of a stack whose service `web` answers 200 on port 8080, with changes."""
    run_id = uuid4().hex
    spec = StackSpec(
        run_id=run_id,
        project=f"seatrial-{run_id[:8]}",
        compose_file=compose_file,
        variant=Variant(name="base"),
        front_door=FrontDoor(service="web", port=8080),
        probes=(Probe(path="/", expect=200, within_s=20),),
        environment={},
        work=work / "work",
        logs=work / "logs",
        deadline_s=600,
    )
    return replace(spec, **changes)
