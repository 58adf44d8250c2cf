"""Tokens of the Distribution protocol: what containerd asks the realm for, and what it understands of the answer.

Sequence and names as in containerd's `core/remotes/docker/auth/fetch.go`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from _challenge import Bearer
from _untrusted import Nonsense, json_object

CLIENT_ID = "containerd-client"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
TRY_GET_AFTER = (400, 401, 404, 405)
"""Servers without the OAuth2 endpoint answer the POST with one of these; containerd then asks by GET."""
_DEFAULT_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and until when (on the caller's clock, in seconds) it may be used."""

    value: str
    until_s: float


class Access:
    """What containerd's authorizer remembers: the challenge that it met, and the token that answers it."""

    def __init__(self) -> None:
        self.challenge: Bearer | None = None
        self.token: Token | None = None

    def header(self, now_s: float) -> Mapping[str, str]:
        """Return the Authorization header, if there is a token that still lives."""
        if self.token is None or now_s >= self.token.until_s:
            return {}
        return {"Authorization": f"Bearer {self.token.value}"}


@dataclass(slots=True)
class Credentials:
    """Who logs in, and with what: the password, or (`renews`) a refresh token once there is one."""

    user: str
    password: str
    renews: bool = False
    refresh_token: str = ""

    def form(self, challenge: Bearer) -> bytes:
        """Return the body of the POST that buys a token."""
        if self.refresh_token:
            return refresh_form(challenge, self.refresh_token)
        return password_form(challenge, self.user, self.password, offline=self.renews)

    def learn(self, body: bytes) -> None:
        """Keep the refresh token of the realm's answer, if there is one; Nonsense if it is no text."""
        value = json_object(body, "the token answer").get("refresh_token", "")
        if not isinstance(value, str):
            raise Nonsense("the refresh token is no text")
        self.refresh_token = value if self.renews else ""


def password_form(challenge: Bearer, user: str, password: str, *, offline: bool = False) -> bytes:
    """Return the body of the POST that exchanges a password for a token, and for a refresh token if `offline`."""
    fields = {
        **({"access_type": "offline"} if offline else {}),
        "client_id": CLIENT_ID,
        "grant_type": "password",
        "password": password,
        "scope": challenge.scope,
        "service": challenge.service,
        "username": user,
    }
    return urlencode(fields).encode()


def refresh_form(challenge: Bearer, refresh_token: str) -> bytes:
    """Return the body of the POST that exchanges a refresh token for a token."""
    fields = {
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": challenge.scope,
        "service": challenge.service,
    }
    return urlencode(fields).encode()


def get_url(challenge: Bearer) -> str:
    """Return the URL of the GET that asks for a token; each scope is a parameter of its own."""
    query = [("scope", scope) for scope in challenge.scope.split()]
    if challenge.service:
        query.append(("service", challenge.service))
    separator = "&" if "?" in challenge.realm else "?"
    return f"{challenge.realm}{separator}{urlencode(query)}" if query else challenge.realm


def basic(user: str, password: str) -> Mapping[str, str]:
    """Return the header of Basic credentials; none for an anonymous client."""
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def parse(body: bytes, now_s: float) -> Token:
    """Read the realm's answer; Nonsense if it carries no token."""
    answer = json_object(body, "the token answer")
    value = answer.get("token") or answer.get("access_token")
    life = answer.get("expires_in") or _DEFAULT_LIFE_S
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise Nonsense("the token answer carries no token")
    if not isinstance(life, int | float):
        raise Nonsense("expires_in is not a number")
    return Token(value, now_s + life)
