"""The body of a request, as the pieces in which it goes out."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.user.message import Wanted


def pieces(wanted: Wanted) -> Iterator[bytes]:
    """Yield what is to be sent after the head: nothing where the body went with it.

    ValueError where an iterable of a known length gives another one: the message is not whole then, so its
    connection can't be used any more.
    """
    body = wanted.body
    if isinstance(body, bytes):
        if wanted.ask_first:
            yield body
    elif body is not None and wanted.body_length is None:
        for piece in body:
            if piece:  # an empty chunk would be the last one (RFC 9112 7.1)
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
    elif body is not None and wanted.body_length is not None:
        left = wanted.body_length
        for piece in body:
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise ValueError(f"the pieces of a body do not add up to its length: {wanted.body_length}")
