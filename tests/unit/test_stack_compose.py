"""The error of a failed step of Compose."""

import pytest

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, StackFailed
from seatrial.stack.compose import failure
from seatrial.stack.processes import ProgramEnd

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///x"


@pytest.mark.parametrize(
    ("step", "code", "text", "kind", "what"),
    [
        ("pull", 1, "dial tcp: connection refused", ImageMissing, "an image can't be found"),
        ("create", 1, "Error response from daemon: No such image: x:1", ImageMissing, "an image can't be found"),
        ("build", 1, "failed to solve: exit code: 1", ImageMissing, "an image can't be built"),
        (
            "start",
            1,
            "Bind for 127.0.0.1:80 failed: port is already allocated",
            PortTaken,
            "127.0.0.1:80 is taken",
        ),
        ("start", 1, "listen tcp4 0.0.0.0:443: bind: address already in use", PortTaken, "0.0.0.0:443 is taken"),
        ("start", 1, NO_DAEMON, EngineUnavailable, "daemon stopped answering"),
        ("create", 1, "something else", StackFailed, "`docker compose create` failed with exit code 1"),
        ("start", None, "", StackFailed, "`docker compose start` did not end in time"),
    ],
)
def test_a_failed_step_is_classified(
    step: str, code: int | None, text: str, kind: type[StackFailed], what: str
) -> None:
    """The last lines that Compose printed decide which error it is; at its deadline a step has no exit code."""
    failed = failure(step, ProgramEnd(code=code, lines=("first", text)), where="compose.yaml")
    assert type(failed) is kind
    assert what in failed.what
    assert failed.seen == f"first\n{text}"
