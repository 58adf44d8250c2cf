"""Requests with right and wrong access to a clip: how each is made, and how the wrong ones have to be refused.

A signed URL is that of nginx's `secure_link_md5`: base64url of the MD5 of "EXPIRES" "PATH" "USER KEY", unpadded.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

FORBIDDEN, GONE = 403, 410
LIFE_S = 3600
"""How long a URL is good that is signed here."""
EXPIRED_S = 60
FOREIGN = "203.0.113.9"
"""An address that is no one's: TEST-NET-3 (RFC 5737)."""
GIVEN_OUT = frozenset({200, 206})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a request is made of: the clip, the time, the key, and a user with and one without a permission."""

    clip: str
    now_s: int
    key: str
    allowed: str
    refused: str

    def signed(self, user: str, *, clip: str = "", expires_s: int = 0, signature: str = "") -> str:
        """Return a URL of this clip, with a signature made for `clip` if one is named."""
        path = f"/signed/{self.clip}"
        expires_s = expires_s or self.now_s + LIFE_S
        signature = signature or sign(f"/signed/{clip or self.clip}", user, expires_s, self.key)
        return f"{path}?user={user}&expires={expires_s}&signature={signature}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request: its target, its headers, and the statuses with which it has to be refused (none: it is right)."""

    target: str
    headers: dict[str, str]
    refusals: tuple[int, ...] = ()


def sign(path: str, user: str, expires_s: int, key: str) -> str:
    """Return the signature of a path, for a user, until a second of Unix time."""
    digest = hashlib.md5(f"{expires_s}{path}{user} {key}".encode(), usedforsecurity=False).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _plain(of: Circumstances) -> Attempt:
    return Attempt(f"/media/{of.clip}", {"X-User": of.allowed})


def _signed(of: Circumstances) -> Attempt:
    return Attempt(of.signed(of.allowed), {})


def _expired(of: Circumstances) -> Attempt:
    return Attempt(of.signed(of.allowed, expires_s=of.now_s - EXPIRED_S), {}, (GONE,))


def _forged(of: Circumstances) -> Attempt:
    forged = sign(f"/signed/{of.clip}", of.allowed, of.now_s + LIFE_S, f"not {of.key}")
    return Attempt(of.signed(of.allowed, signature=forged), {}, (FORBIDDEN,))


def _other_clip(of: Circumstances) -> Attempt:
    return Attempt(of.signed(of.allowed, clip=f"other-{of.clip}"), {}, (FORBIDDEN,))


def _foreign(of: Circumstances) -> Attempt:
    headers = {"X-User": of.allowed, "X-Forwarded-For": FOREIGN}
    return Attempt(f"/media/{of.clip}", headers, (FORBIDDEN,))


def _no_permission(of: Circumstances) -> Attempt:
    return Attempt(f"/media/{of.clip}", {"X-User": of.refused}, (FORBIDDEN,))


def _signed_without_permission(of: Circumstances) -> Attempt:
    return Attempt(of.signed(of.refused), {}, (FORBIDDEN,))


Make = Callable[[Circumstances], Attempt]
RIGHT: dict[str, Make] = {"plain": _plain, "signed": _signed}
WRONG: dict[str, Make] = {
    "expired": _expired,
    "forged": _forged,
    "other clip": _other_clip,
    "foreign subnet": _foreign,
    "no permission": _no_permission,
    "signed, no permission": _signed_without_permission,
}
