"""Catalogues of media: what an entry tells, what proves its bytes, and what is no catalogue."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import UsageError
from seatrial.media import digests
from seatrial.media.catalogue import Entry, entries, load
from seatrial.media.clip import Clip

CLIP = Clip(duration_s=2.0, bitrate_bps=400_000)
CONTENT = CLIP.read(0, CLIP.size)


def _entries(**listed: Any) -> tuple[Entry, ...]:  # noqa: ANN401  (JSON)
    return entries(json.dumps(listed))


def test_a_clip_of_ours_is_proved_byte_by_byte() -> None:
    """Its size follows from the specification; a wrong byte is told by its offset."""
    (entry,) = _entries(clips=[{"path": "/a.mp4", "clip": CLIP.spec(), "etag": '"1"', "popularity": 2}])
    assert (entry.size, entry.etag, entry.popularity) == (CLIP.size, '"1"', 2.0)
    proof = entry.proof()
    assert proof is not None
    assert proof.wrong(100, memoryview(CONTENT[100:300])) is None
    assert proof.wrong(100, memoryview(CONTENT[100:200] + bytes([CONTENT[200] ^ 1]) + CONTENT[201:300])) == 200


def test_a_file_with_digests_is_proved_by_blocks() -> None:
    """Each session has its own state; the offset is that of the block."""
    listed = digests.make(io.BytesIO(CONTENT), 4096)
    (entry,) = _entries(real=[{"path": "/real.mp4", "digests": listed}])
    assert entry.size == len(CONTENT)
    right, wrong = entry.proof(), entry.proof()
    assert right is not None
    assert wrong is not None
    assert right.wrong(0, memoryview(CONTENT)) is None
    assert wrong.wrong(0, memoryview(CONTENT[:5000] + b"\0\0" + CONTENT[5002:])) == 4096


def test_what_is_not_known_is_not_proved() -> None:
    """Null or left out are alike."""
    for listed in (
        {"path": "/x"},
        {"path": "/x", "clip": None, "digests": None, "size": None, "popularity": None},
    ):
        (entry,) = _entries(clips=[listed])
        assert entry == Entry("/x")
        assert entry.proof() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"clips": []}',
        '{"clips": [{}]}',
        '{"clips": [{"path": "x"}]}',
        '{"clips": [{"path": "/x", "popularity": -1}]}',
        '{"clips": [{"path": "/x", "clip": {"seed": 1}}]}',
        '{"real": [{"path": "/x", "digests": {"size": 1}}]}',
        '{"clips": [{"path": "/x", "clip": {"duration_s": 1e308, "bitrate_bps": 1e6}}]}',
        '{"clips": [{"path": "/x", "size": Infinity}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    """With an error that the command line can show."""
    with pytest.raises(UsageError):
        entries(text)


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """Between two changes all get the same entries."""
    file = tmp_path / "catalogue.json"
    file.write_text('{"clips": [{"path": "/a"}]}')
    first = load(str(file))
    assert load(str(file)) is first
    file.write_text('{"clips": [{"path": "/b"}]}')
    os.utime(file, ns=(1, 1))
    assert load(str(file)) == (Entry("/b"),)


@pytest.mark.parametrize(("content", "seen"), [(None, "No such file or directory"), ("{}", "lists no clip")])
def test_a_file_that_is_no_catalogue_is_named(content: str | None, seen: str, tmp_path: Path) -> None:
    """With what was found in its place."""
    file = tmp_path / "catalogue.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match="can't be used") as caught:
        load(str(file))
    assert caught.value.where == str(file)
    assert seen in caught.value.seen


def test_records_tell_no_signature() -> None:
    """The name of a clip is its path without the query."""
    assert Entry("/signed/a.mp4?expires=1&signature=s").name == Entry("/signed/a.mp4").name == "/signed/a.mp4"
