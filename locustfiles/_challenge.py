"""The challenges of a WWW-Authenticate header (RFC 9110 11.6.1), and the Distribution protocol's Bearer one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from _untrusted import Nonsense, web_url

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEPARATORS = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")(?=[ \t]*(?:,|$))')
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+|(?=,)|$)")
_TOKEN68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?=,|$)")
_QUOTED_PAIR = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge; scheme and parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Where to get a token, for whom, and for what."""

    realm: str
    service: str
    scope: str


def parse(header: str) -> list[Challenge]:
    """Return the challenges of a header, or of several that were joined by commas; else Nonsense."""
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = _skipped(header, 0)
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter and challenges:
            name, plain, quoted = parameter.groups()
            parameters.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if plain is None else plain)
            position = _skipped(header, parameter.end())
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            raise Nonsense("malformed challenge")
        parameters = {}
        challenges.append(Challenge(scheme[1].lower(), parameters))
        position = _skipped(header, _past_token68(header, scheme.end()))
    return challenges


def bearer(header: str) -> Bearer:
    """Return the Bearer challenge; Nonsense if there is none whose realm can be asked."""
    for challenge in parse(header):
        realm = challenge.parameters.get("realm", "")
        if challenge.scheme == "bearer":
            web_url(realm, "the token realm")
            return Bearer(realm, challenge.parameters.get("service", ""), challenge.parameters.get("scope", ""))
    raise Nonsense("no Bearer challenge")


def _skipped(header: str, position: int) -> int:
    match = _SEPARATORS.match(header, position)
    return match.end() if match else position


def _past_token68(header: str, position: int) -> int:
    """Skip the opaque value that a scheme may carry instead of parameters, such as `Negotiate YWJj`."""
    if _PARAMETER.match(header, position):
        return position
    match = _TOKEN68.match(header, position)
    return match.end() if match else position
