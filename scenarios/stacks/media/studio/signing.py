"""Signed URLs: user, expiry and hash, by the rule of nginx's `secure_link_md5`, so that either can check them.

    signature = base64url(md5("EXPIRES" + "PATH" + "USER" + " " + "KEY")), without padding

MD5 because that module has no other. The key comes last, so a longer message can't be made from a known signature
without it, but this is no HMAC: a new service would take one.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from http import HTTPStatus


def sign(path: str, user: str, expires_s: int, key: str) -> str:
    """Return the signature of a path, for a user, until a second of Unix time."""
    text = f"{expires_s}{path}{user} {key}"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def check(path: str, query: dict[str, str], key: str, now_s: float) -> HTTPStatus:
    """Return 200, 403 for a signature that is missing or wrong, or 410 for one that was right and has expired.

    The documentation of ngx_http_secure_link_module answers 403 where `$secure_link` is empty, and 410 where it is
    "0"; a link has expired once the current second is greater than its own.
    """
    expires = query.get("expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= len(str(2**63))):
        return HTTPStatus.FORBIDDEN
    right = sign(path, query.get("user", ""), int(expires), key) if expires == str(int(expires)) else ""
    if not hmac.compare_digest(right.encode(), query.get("signature", "").encode()):
        return HTTPStatus.FORBIDDEN
    return HTTPStatus.GONE if int(now_s) > int(expires) else HTTPStatus.OK
