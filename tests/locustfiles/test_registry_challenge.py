"""Parsing of authentication challenges (RFC 9110 11.6.1) in the registry locustfile."""

from __future__ import annotations

import pytest

from _challenge import Bearer, Challenge, bearer, parse
from _untrusted import Nonsense

REALM = 'Bearer realm="http://127.0.0.1/token",service="svc",scope="repository:app:pull"'


def test_the_challenge_of_a_registry() -> None:
    """Realm, service and scope are read without their quotes."""
    assert bearer(REALM) == Bearer("http://127.0.0.1/token", "svc", "repository:app:pull")


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("Basic", [Challenge("basic", {})]),
        ("Basic realm=x", [Challenge("basic", {"realm": "x"})]),
        ('Basic realm = "x" , charset="UTF-8"', [Challenge("basic", {"realm": "x", "charset": "UTF-8"})]),
        ("Negotiate YWJj==", [Challenge("negotiate", {})]),
        ("Negotiate, Basic realm=x", [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
        ('A b="1, C d=2", E f=3', [Challenge("a", {"b": "1, C d=2"}), Challenge("e", {"f": "3"})]),
        (r'A b="say \"hi\" \\"', [Challenge("a", {"b": r'say "hi" \\'.replace(r"\\", "\\")})]),
        ("A b=1,,, c=2", [Challenge("a", {"b": "1", "c": "2"})]),
        ('A REALM=""', [Challenge("a", {"realm": ""})]),
        ("", []),
    ],
)
def test_challenges_are_separated(header: str, challenges: list[Challenge]) -> None:
    """Commas separate challenges as well as parameters, except in quotes."""
    assert parse(header) == challenges


@pytest.mark.parametrize("header", ['A b="open', "A b=1 c=2", "@", "A b=(1)", 'A b="1"2'])
def test_a_malformed_challenge_is_nonsense(header: str) -> None:
    """A header outside of the grammar is refused."""
    with pytest.raises(Nonsense):
        parse(header)


def test_bearer_is_found_behind_another_scheme() -> None:
    """A server may offer several schemes."""
    assert bearer(f'Basic realm="x, y", {REALM}').service == "svc"


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://x/", "http://", "http://a b/", "http://[::1", "http://u:p@h/"]
)
def test_a_realm_that_can_not_be_asked_is_nonsense(realm: str) -> None:
    """Only an absolute http or https URL without credentials is asked for a token."""
    with pytest.raises(Nonsense, match="realm"):
        bearer(f'Bearer realm="{realm}"')


def test_no_bearer_challenge_is_nonsense() -> None:
    """A registry with another scheme can't be pulled from."""
    with pytest.raises(Nonsense, match="no Bearer"):
        bearer('Basic realm="x"')
