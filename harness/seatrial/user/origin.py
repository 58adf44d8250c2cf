"""Where a request goes: the origin that its connection belongs to, and the target it asks there for."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

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
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http+unix" and parts.netloc:
        return Origin("http", "localhost", _DEFAULT_PORTS["http"], unquote(parts.netloc)), target
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an absolute http or https URL: {url!r}")
    if parts.username is not None:
        raise ValueError("credentials in a URL are not supported: give an Authorization header")
    return Origin(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]), target
