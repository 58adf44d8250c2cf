"""What comes through TLS, read record by record at the least cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import ssl

Decrypt = Callable[[int, memoryview], int]
"""Reads up to so many bytes into a place; SSLWantReadError where nothing is there."""
RECORD_BYTES = 16 * 1024
_record = memoryview(bytearray(RECORD_BYTES))


def decrypt_of(stream: ssl.SSLSocket) -> Decrypt:
    """Return OpenSSL's own read: gevent's two calls around it cost 10 % of a record, and wait for nothing here."""
    inner: Any = stream
    decrypt: Decrypt = inner._sslobj.read  # noqa: SLF001  (there is no other way to it)
    return decrypt


def records(decrypt: Decrypt, view: memoryview) -> int:
    """Read as many TLS records as are there: each is 16 KiB at most, a fraction of what a wait is worth."""
    count = more = _first(decrypt, view)
    while more and count < len(view):
        try:
            more = decrypt(len(view) - count, view[count:])
        except OSError:  # nothing more now, or a failure that the next read meets again
            break
        count += more
    return count


def thrown_away(decrypt: Decrypt, size: int) -> int:
    """Read as `records` does, but each record onto the one before: 16 KiB stay in the nearest cache."""
    count = more = _first(decrypt, _record[: min(size, RECORD_BYTES)])
    while more and count < size:
        try:
            more = decrypt(min(size - count, RECORD_BYTES), _record)
        except OSError:  # the same
            break
        count += more
    return count


def _first(decrypt: Decrypt, view: memoryview) -> int:
    try:
        return decrypt(len(view), view)
    except ssl.SSLEOFError:  # a close without a goodbye: whether that is too early, the framing tells
        return 0
