"""Digest lists: whole blocks of any range are checked, and a wrong byte is found in its block."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.errors import UsageError
from seatrial.media.digests import Checker, Digests, make

BLOCK = 4096
CONTENT = hashlib.shake_256(b"content").digest(10 * BLOCK + 100)
LIST = make(io.BytesIO(CONTENT), BLOCK)
ranges = st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, len(CONTENT))).map(
    lambda pair: (pair[0], min(len(CONTENT), sum(pair)))
)


class Trickle(io.BytesIO):
    """A file whose reads return less than was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        """Return at most 1000 bytes."""
        return super().read(min(size or 0, 1000))


def test_a_list_has_one_digest_a_block() -> None:
    """The last block is shorter; how the file is read does not matter."""
    assert LIST["size"] == len(CONTENT)
    assert len(LIST["blocks"]) == 11
    assert LIST["blocks"][0] == hashlib.sha256(CONTENT[:BLOCK]).hexdigest()
    assert LIST["blocks"][10] == hashlib.sha256(CONTENT[-100:]).hexdigest()
    assert make(Trickle(CONTENT), BLOCK) == LIST
    assert make(io.BytesIO(b""))["blocks"] == []


def _fed(checker: Checker, content: bytes, first: int, end: int, step: int) -> int:
    for offset in range(first, end, step):
        found = checker.feed(offset, memoryview(content)[offset : min(offset + step, end)])
        if found >= 0:
            return found
    return -1


@given(ranges, st.integers(100, 9000))
def test_what_can_be_checked_is(span: tuple[int, int], step: int) -> None:
    """All whole blocks of the range, in pieces of any size; the rest is counted."""
    first, end = span
    checker = Checker(Digests(LIST))

    assert _fed(checker, CONTENT, first, end, step) == -1
    starts = [at for at in range(0, len(CONTENT), BLOCK) if first <= at and min(at + BLOCK, len(CONTENT)) <= end]
    assert checker.checked_bytes == sum(min(BLOCK, len(CONTENT) - at) for at in starts)
    assert checker.checked_bytes + checker.unchecked_bytes == end - first


@given(ranges, st.integers(100, 9000), st.data())
def test_a_wrong_byte_is_found_in_its_block(span: tuple[int, int], step: int, data: st.DataObject) -> None:
    """Once the block is complete."""
    first, end = span
    at = data.draw(st.integers(first, end - 1))
    wrong = CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :]
    begin = at // BLOCK * BLOCK
    whole = first <= begin and min(begin + BLOCK, len(CONTENT)) <= end

    assert _fed(Checker(Digests(LIST)), wrong, first, end, step) == (begin if whole else -1)


def test_a_new_range_begins_anew() -> None:
    """A seek leaves the block that it broke off unchecked."""
    checker = Checker(Digests(LIST))

    assert checker.feed(0, CONTENT[: BLOCK + 10]) == -1
    assert checker.feed(5 * BLOCK, CONTENT[5 * BLOCK : 7 * BLOCK]) == -1
    assert (checker.checked_bytes, checker.unchecked_bytes) == (3 * BLOCK, 10)


def test_bytes_after_the_end_are_wrong() -> None:
    """They are named by the size of the file."""
    assert Checker(Digests(LIST)).feed(10 * BLOCK, CONTENT[10 * BLOCK :] + b"x") == len(CONTENT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": len(CONTENT) + BLOCK},
        {"size": "many"},
        {"size": -1},
        {"block_bytes": 100},
        {"algorithm": "md5"},
        {"blocks": ["00"] * 11},
        {"blocks": ["zz"] * 11},
        {"blocks": 11},
    ],
)
def test_a_list_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    """Before anything is checked with it."""
    with pytest.raises(UsageError):
        Digests(LIST | wrong)


def test_a_block_size_has_bounds() -> None:
    """4 KiB to 64 MiB."""
    with pytest.raises(UsageError, match="out of range"):
        make(io.BytesIO(CONTENT), 100)
