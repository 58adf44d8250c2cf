"""The client's page: its examples run, and it names everything that can be set."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from process.locust_child import started
from process.scripted_server import BIG, Peer, Script, answers_for_ever, scripted

from seatrial.http.messages import RequestKeywords, Timeouts
from seatrial.user import LeanUser
from seatrial.user.response import Stream

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "client.md").read_text(encoding="utf-8")


def _clips_for_ever(peer: Peer) -> None:
    while b"\r\nRange: bytes=0-\r\n" in peer.request():
        head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-%d/%d\r\nContent-Length: %d\r\n\r\n"
        peer.send(head % (2 * len(BIG) - 1, 2 * len(BIG), 2 * len(BIG)) + BIG + BIG)


def _streams_for_ever(peer: Peer) -> None:
    playlist = b"#EXTM3U\n"
    while True:
        if b"\r\nRange: bytes=0-65535\r\n" in peer.request():
            peer.send(b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-8/9\r\nContent-Length: 9\r\n\r\n123456789")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(playlist), playlist))


@pytest.mark.parametrize(
    ("example", "script", "targets"),
    [
        (0, answers_for_ever, {b"GET /", b"PUT /copy"}),
        (1, _streams_for_ever, {b"GET /live.m3u8", b"GET /live.mp4"}),
        (2, _clips_for_ever, {b"GET /clip.mp4"}),
    ],
)
def test_an_example_runs(example: int, script: Script, targets: set[bytes], tmp_path: Path) -> None:
    """Copied into a file it is a locustfile that runs without a failure."""
    (tmp_path / "reader.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[example])
    with scripted(*[script] * 1_000) as server:  # a stream that is left ends its connection
        options = ("--run-time", "1", "--stop-timeout", "2")
        process = started(server.url, options, tmp_path / "reader.py", 1, {}, subprocess.PIPE)
        output = process.communicate(timeout=20)[0].decode()
        requested = {request.split(b" HTTP")[0] for request in server.requests}
    assert process.returncode == 0, output
    assert requested == targets


@pytest.mark.parametrize("name", [name for name in vars(Stream) if not name.startswith("_")])
def test_a_streams_members_are_documented(name: str) -> None:
    """But for those that the client itself calls."""
    assert f"\n| `{name}" in PAGE or name in {"begin", "exchange", "release"}


@pytest.mark.parametrize(
    "name",
    [
        *RequestKeywords.__annotations__,
        *(name for name in LeanUser.__annotations__ if name in vars(LeanUser)),
        *(name for name in Timeouts.__annotations__ if name.endswith("_s")),
    ],
)
def test_everything_that_can_be_set_is_documented(name: str) -> None:
    """An option stands in a table of the page."""
    assert f"\n| `{name}` |" in PAGE
