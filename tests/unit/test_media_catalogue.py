"""Catalogues of media: what an entry tells, what proves its bytes, and what is no catalogue."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from seatrial.errors import UsageError
from seatrial.media import digests
from seatrial.media.catalogue import Entry, entries
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
    ],
)
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    """With an error that the command line can show."""
    with pytest.raises(UsageError):
        entries(text)
