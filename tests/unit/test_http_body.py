"""The shared buffers of response bodies."""

from __future__ import annotations

from seatrial.http.body import BUFFERS, HashedBody


def test_a_peak_of_bodies_leaves_few_buffers() -> None:
    """Twenty large bodies at once, and eight buffers stay."""
    bodies = [HashedBody("sha256:" + "0" * 64) for _ in range(20)]
    for body in bodies:
        body.write(memoryview(b"x"))
    for body in bodies:
        body.release()
        body.release()
    assert len(BUFFERS.spare) == 8
