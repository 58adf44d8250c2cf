"""Requests with right and wrong access, as the media stack's own code judges them."""

import importlib
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from _policy import FOREIGN, RIGHT, WRONG, Circumstances

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "stacks" / "media"))
signing = importlib.import_module("studio.signing")

NOW_S = 1_700_000_000
CIRCUMSTANCES = Circumstances("clip-0.mp4", NOW_S, "key", "director", "intern")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("signed", 200),
        ("expired", 410),
        ("forged", 403),
        ("other clip", 403),
        ("signed, no permission", 200),  # its signature is right
    ],
)
def test_a_signed_url_is_right_or_wrong_in_the_way_that_it_is_named(kind: str, status: int) -> None:
    """Judged by the media service's own rule; one that is expired was right once."""
    url = urlsplit((RIGHT | WRONG)[kind](CIRCUMSTANCES).target)

    assert signing.check(url.path, dict(parse_qsl(url.query)), "key", NOW_S) == status


def test_every_wrong_request_has_one_fault() -> None:
    """Each has a status with which it has to be refused; the user, the address or the signature is wrong."""
    attempts = {kind: make(CIRCUMSTANCES) for kind, make in WRONG.items()}

    assert {kind: one.refusals for kind, one in attempts.items() if one.refusals != (HTTPStatus.FORBIDDEN,)} == {
        "expired": (HTTPStatus.GONE,)
    }
    assert attempts["foreign subnet"].headers == {"X-User": "director", "X-Forwarded-For": FOREIGN}
    assert attempts["no permission"].headers == {"X-User": "intern"}
    assert "user=intern&" in attempts["signed, no permission"].target
    assert [one.refusals for one in (make(CIRCUMSTANCES) for make in RIGHT.values())] == [()] * len(RIGHT)
