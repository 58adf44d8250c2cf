"""The few calls of the registry's push API that seeding needs, through the front door only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypedDict, Unpack
from urllib.parse import urljoin, urlsplit

import requests

from seeding.plan import Content

_PIECE_BYTES = 64 * 1024
_TIMEOUT_S = (5, 120)
_EARLY_S = 30  # a token is replaced this long before its end


class SeedError(Exception):
    """Seeding can't go on; the text is one line, without secrets."""


class _More(TypedDict, total=False):
    """What only some requests have."""

    headers: Mapping[str, str]
    data: bytes | Iterator[bytes] | Mapping[str, str] | None


@dataclass(frozen=True)
class Account:
    """Who pushes."""

    user: str
    password: str


class Registry:
    """A registry behind `front_door` (a URL without a path), with its bearer tokens.

    Credentials and tokens go to the front door's own origin and to no other address.
    """

    def __init__(
        self,
        front_door: str,
        account: Account,
        *,
        chunked: bool = False,
        session: requests.Session | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._front_door = front_door.rstrip("/")
        self._account = account
        self._chunked = chunked
        self._clock_s = clock_s
        self._tokens: dict[str, tuple[str, float]] = {}
        self._session = session or requests.Session()
        self._session.trust_env = False  # no proxy, and no password of a .netrc
        self._session.headers["User-Agent"] = "seatrial-seed"
        self._realm, self._service = self._challenge()

    def push_blob(self, repository: str, blob: Content) -> bool:
        """Push a blob unless it is there; returns whether it was pushed."""
        if self._has(repository, f"blobs/{blob.digest}"):
            return False
        started = _checked(self._send("POST", repository, "blobs/uploads/"), HTTPStatus.ACCEPTED)
        location, body = started.headers["Location"], blob.data
        if self._chunked:
            patched = _checked(self._send("PATCH", repository, location, data=_pieces(body)), HTTPStatus.ACCEPTED)
            location, body = patched.headers["Location"], b""
        location += f"{'&' if '?' in location else '?'}digest={blob.digest}"
        _checked(self._send("PUT", repository, location, data=body), HTTPStatus.CREATED)
        return True

    def push_manifest(self, repository: str, reference: str, content: Content) -> bool:
        """Push a manifest or an index unless the reference (a tag or a digest) already stands for it."""
        path = f"manifests/{reference}"
        if self._has(repository, path, content):
            return False
        headers = {"Content-Type": content.media_type}
        _checked(self._send("PUT", repository, path, data=content.data, headers=headers), HTTPStatus.CREATED)
        return True

    def _has(self, repository: str, path: str, content: Content | None = None) -> bool:
        headers = {"Accept": content.media_type} if content else {}
        found = self._send("HEAD", repository, path, headers=headers)
        if found.status_code == HTTPStatus.NOT_FOUND:
            return False
        _checked(found, HTTPStatus.OK)
        return content is None or found.headers.get("Docker-Content-Digest") == content.digest

    def _send(self, method: str, repository: str, path: str, **more: Unpack[_More]) -> requests.Response:
        """Send one request; `path` is relative to the repository, or a Location that the registry gave."""
        url = urljoin(f"{self._front_door}/v2/{repository}/", path)
        self._check_origin(url)
        headers = {"Content-Type": "application/octet-stream", **more.get("headers", {})}
        headers["Authorization"] = f"Bearer {self._token(repository)}"
        return self._request(method, url, headers=headers, data=more.get("data"))

    def _token(self, repository: str) -> str:
        token, good_until_s = self._tokens.get(repository, ("", 0.0))
        if self._clock_s() < good_until_s:
            return token
        form = {
            "grant_type": "password",
            "username": self._account.user,
            "password": self._account.password,
            "service": self._service,
            "client_id": "seatrial-seed",
            "scope": f"repository:{repository}:pull,push",
        }
        answer = _checked(self._request("POST", self._realm, data=form), HTTPStatus.OK).json()
        good_until_s = self._clock_s() + answer.get("expires_in", 60) - _EARLY_S
        self._tokens[repository] = (answer["access_token"], good_until_s)
        return str(answer["access_token"])

    def _challenge(self) -> tuple[str, str]:
        response = _checked(self._request("GET", f"{self._front_door}/v2/"), HTTPStatus.UNAUTHORIZED)
        challenge = response.headers.get("WWW-Authenticate", "")
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.startswith("Bearer ") or "realm" not in values:
            raise SeedError(f"GET {self._front_door}/v2/ has no bearer challenge")
        self._check_origin(values["realm"])
        return values["realm"], values.get("service", "")

    def _check_origin(self, url: str) -> None:
        if urlsplit(url)[:2] != urlsplit(self._front_door)[:2]:
            raise SeedError(f"credentials go to {self._front_door} only, not to {urlsplit(url).netloc}")

    def _request(self, method: str, url: str, **more: Unpack[_More]) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=_TIMEOUT_S, allow_redirects=False, **more)
        except requests.RequestException as error:
            raise SeedError(
                f"{method} {urlsplit(url).path}: {type(error).__name__} at {self._front_door}"
            ) from error


def _checked(response: requests.Response, expect: HTTPStatus) -> requests.Response:
    if response.status_code != expect:
        said = " ".join(response.text[:200].split())
        where = f"{response.request.method} {urlsplit(response.url).path}"
        raise SeedError(f"{where}: {response.status_code}, expected {expect.value}: {said}")
    return response


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield the body in pieces, which makes requests send it with chunked transfer coding, as dockerd does."""
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]
