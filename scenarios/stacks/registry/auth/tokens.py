"""The two grants of the Distribution token protocol, as functions of what the client sent.

GET is docs/content/spec/auth/token.md, POST is docs/content/spec/auth/oauth.md; errors are RFC 6749 section 5.2.
Nothing here knows HTTP, Redis or cryptography: those are handed in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from auth import scopes
from auth.settings import Settings
from auth.users import Directory, User


class Refused(Exception):
    """A request that gets an OAuth error; `code` is one of RFC 6749's words."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


class RefreshStore(Protocol):
    """Where refresh tokens are kept."""

    def issue(self, user: str, service: str) -> str:
        """Make a token; raises ConnectionError."""

    def owner(self, token: str, service: str) -> str | None:
        """Return whose token it is; raises ConnectionError."""


@dataclass(frozen=True)
class TokenService:
    """Answers the two grants; `now_s` and `token_id` are seams for tests."""

    settings: Settings
    users: Directory
    refresh: RefreshStore
    sign: Callable[[Mapping[str, Any]], str]
    now_s: Callable[[], float]
    token_id: Callable[[], str] = lambda: secrets.token_hex(8)

    def get(
        self, query: Mapping[str, str], wanted: Sequence[str], login: tuple[str, str] | None
    ) -> dict[str, Any]:
        """Answer GET: Basic credentials or none at all; raises Refused (401) when they are wrong.

        Without credentials the client is anonymous: that is no error, its access may be empty.
        """
        self._check_service(query)
        asked = _asked(wanted)
        user = self.users.anonymous if login is None else self.users.authenticate(*login)
        if user is None:
            raise Refused("invalid_client", "the user name or the password is wrong", 401)
        token, _granted, common = self._access(user, asked)
        answer = {"token": token, "access_token": token, **common}
        if user.name and query.get("offline_token") == "true":
            answer["refresh_token"] = self.refresh.issue(user.name, self.settings.service)
        return answer

    def post(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer POST: a password or a refresh token; raises Refused."""
        self._check_service(form)
        if not form.get("client_id"):
            raise Refused("invalid_request", "client_id is missing")
        asked = _asked([form.get("scope", "")])
        user = self._owner(form)
        token, granted, common = self._access(user, asked)
        answer = {"access_token": token, "scope": " ".join(map(str, granted)), **common}
        if form["grant_type"] == "refresh_token":
            answer["refresh_token"] = form["refresh_token"]
        elif form.get("access_type") == "offline":
            answer["refresh_token"] = self.refresh.issue(user.name, self.settings.service)
        return answer

    def _owner(self, form: Mapping[str, str]) -> User:
        match form.get("grant_type"):
            case "password":
                user = self.users.authenticate(form.get("username", ""), form.get("password", ""))
            case "refresh_token":
                name = self.refresh.owner(form.get("refresh_token", ""), self.settings.service)
                user = self.users.find(name) if name else None
            case None:
                raise Refused("invalid_request", "grant_type is missing")
            case _:
                raise Refused("unsupported_grant_type", "grant_type is neither password nor refresh_token")
        if user is None:
            raise Refused("invalid_grant", "the credentials are wrong, expired or revoked")
        return user

    def _access(
        self, user: User, asked: Sequence[scopes.Scope]
    ) -> tuple[str, Sequence[scopes.Scope], dict[str, Any]]:
        now_s = int(self.now_s())
        granted = scopes.granted(asked, user.rules)
        claims = {
            "iss": self.settings.issuer,
            "sub": user.name,
            "aud": self.settings.service,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + self.settings.expires_in_s,
            "jti": self.token_id(),
            "access": [scope.claim() for scope in granted],
        }
        issued_at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.sign(claims), granted, {"expires_in": self.settings.expires_in_s, "issued_at": issued_at}

    def _check_service(self, sent: Mapping[str, str]) -> None:
        if sent.get("service") != self.settings.service:
            raise Refused("invalid_request", f"service is not {self.settings.service}")


def _asked(texts: Sequence[str]) -> tuple[scopes.Scope, ...]:
    try:
        return scopes.parse(texts)
    except scopes.InvalidScope as error:
        raise Refused("invalid_scope", str(error)) from error
