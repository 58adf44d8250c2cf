"""Where a request goes: the origin that its connection belongs to, and the target it asks there for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from seatrial.http.http1 import bad

_LATEST_URLS = 1_024
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNWRITABLE = re.compile(r"[^\x21-\x7e\x80-\xff]")
_BEYOND_PATH = re.compile(r"[?#;\s\0]")
_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, host and port: what a pool of connections belongs to (RFC 9110 4.3.1).

    `path` is that of a Unix socket, and empty for any other.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def split_url(url: str) -> tuple[Origin, str]:
    """Return the origin and the target (path and query) of an absolute URL; else ValueError.

    Schemes are http and https, and http+unix, whose host is the percent-encoded path of a socket.
    """
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:  # Python's own words show a part of the URL, which may be a password
        raise ValueError("not a URL: its host or port can't be read") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http+unix" and parts.netloc:
        return Origin("http", "localhost", _DEFAULT_PORTS["http"], unquote(parts.netloc)), target
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    if parts.username is not None:
        raise ValueError("credentials in a URL are not supported: give an Authorization header")
    return Origin(parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port), target


class Targets:
    """What the targets of one user's requests mean; `home` is the user's own host."""

    def __init__(self, host: str) -> None:
        self.home, prefix = split_url(host)
        self._prefix = prefix.rstrip("/")
        self._urls: dict[str, tuple[Origin, str]] = {}

    def where(self, target: str) -> tuple[Origin, str]:
        """Return the origin, and the path to ask it for.

        Fault for an absolute URL that can't be asked for: mostly a server named it, in a Location. ValueError for
        what is neither a path nor an absolute URL.
        """
        if target.startswith("/"):
            return self.home, self._prefix + target
        known = self._urls.get(target)
        if known is None:
            if len(self._urls) >= _LATEST_URLS:
                self._urls.clear()
            known = self._urls[target] = self._elsewhere(target)
        return known

    def _elsewhere(self, target: str) -> tuple[Origin, str]:
        if _ABSOLUTE.match(target) is None:
            raise ValueError(f"neither a path nor an absolute URL: {shown(target)}")
        if _UNWRITABLE.search(target):
            raise bad("a line break, space or the like in a URL")
        try:
            origin, path = split_url(target)
        except ValueError as error:
            raise bad(str(error)) from None
        if origin.path and origin != self.home:  # a redirect could reach the container engine's socket
            raise bad("a Unix socket can only be the user's own host")
        return origin, path


def shown(target: str) -> str:
    """Return a target for an error message, up to its query or what can't be part of it: secrets stand there."""
    return repr(_BEYOND_PATH.split(target, maxsplit=1)[0].rpartition("@")[2])
