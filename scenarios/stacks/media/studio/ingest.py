"""How a clip gets in: a body of known length, written beside and renamed, so that it is complete or not there."""

from __future__ import annotations

import hmac
import os
import threading
from pathlib import Path
from typing import BinaryIO

from studio.access import write_gid

_PIECE_BYTES = 1 << 20


def is_bearer(header: str, token: str) -> bool:
    """Return whether an Authorization header holds the token (RFC 6750 section 2.1)."""
    scheme, _space, sent = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())


def store(file: Path, body: BinaryIO, length: int, gid: int) -> bool:
    """Write a clip; returns whether it is new. ValueError, and nothing kept, if the body ends before `length`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with unfinished.open("wb") as target:
            left = length
            while left and (piece := body.read(min(left, _PIECE_BYTES))):
                target.write(piece)
                left -= len(piece)
            target.flush()
            os.fsync(target.fileno())  # else its pages are dirty, so unreclaimable memory of this service
        if left:
            raise ValueError(f"the body ended {left} bytes before its Content-Length")
        is_new = not file.exists()
        write_gid(file, gid)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return is_new
