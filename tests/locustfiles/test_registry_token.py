"""Requests for a token, and their answers, in the registry locustfile."""

from __future__ import annotations

import json

import pytest

from _challenge import Bearer
from _token import Access, Credentials, Token, basic, get_url, parse, password_form, refresh_form
from _untrusted import Nonsense

CHALLENGE = Bearer("http://h/token", "svc", "repository:a:pull repository:b:pull")


def test_the_form_is_containerds() -> None:
    """Fields in the order of Go's url.Values, escaped."""
    assert password_form(CHALLENGE, "me", "p&w") == (
        b"client_id=containerd-client&grant_type=password&password=p%26w"
        b"&scope=repository%3Aa%3Apull+repository%3Ab%3Apull&service=svc&username=me"
    )


def test_a_refresh_token_is_requested_and_used() -> None:
    """`access_type` requests one; with it neither name nor password is sent."""
    offline = password_form(CHALLENGE, "me", "p&w", offline=True)
    assert offline == b"access_type=offline&" + password_form(CHALLENGE, "me", "p&w")
    assert refresh_form(CHALLENGE, "r") == (
        b"client_id=containerd-client&grant_type=refresh_token&refresh_token=r"
        b"&scope=repository%3Aa%3Apull+repository%3Ab%3Apull&service=svc"
    )


def test_a_refresh_token_takes_the_place_of_the_password() -> None:
    """Only where it is wanted and was given; without one the password is sent again."""
    each, once = Credentials("me", "p"), Credentials("me", "p", renews=True)
    for credentials in (each, once):
        credentials.learn(b'{"refresh_token": "r"}')

    assert each.form(CHALLENGE) == password_form(CHALLENGE, "me", "p")
    assert once.form(CHALLENGE) == refresh_form(CHALLENGE, "r")
    once.learn(b'{"token": "t"}')
    assert once.form(CHALLENGE) == password_form(CHALLENGE, "me", "p", offline=True)


def test_a_refresh_token_that_is_no_text_is_nonsense() -> None:
    """It could not be sent."""
    with pytest.raises(Nonsense, match="refresh token"):
        Credentials("me", "p", renews=True).learn(b'{"refresh_token": 1}')


@pytest.mark.parametrize(
    ("challenge", "url"),
    [
        (CHALLENGE, "http://h/token?scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull&service=svc"),
        (Bearer("http://h/t?x=1", "svc", ""), "http://h/t?x=1&service=svc"),
        (Bearer("http://h/t", "", ""), "http://h/t"),
    ],
)
def test_the_get_names_each_scope(challenge: Bearer, url: str) -> None:
    """Each scope is a parameter of its own; the realm's own query is kept."""
    assert get_url(challenge) == url


def test_basic_credentials() -> None:
    """The example of RFC 7617 2; an anonymous client sends none."""
    assert basic("Aladdin", "open sesame") == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    assert basic("", "") == {}


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({"token": "t", "expires_in": 300}, Token("t", 1_300.0)),
        ({"access_token": "t", "expires_in": 5}, Token("t", 1_005.0)),
        ({"token": "t"}, Token("t", 1_060.0)),
        ({"token": "t", "expires_in": 0}, Token("t", 1_060.0)),
    ],
)
def test_an_answer_is_a_token(answer: dict[str, object], token: Token) -> None:
    """`token` or `access_token`, with a lifetime of 60 s where none is given."""
    assert parse(json.dumps(answer).encode(), 1_000.0) == token


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nb"}', b'{"token": "t", "expires_in": "x"}']
)
def test_an_answer_without_a_token_is_nonsense(body: bytes) -> None:
    """Also one that could not be sent in a header."""
    with pytest.raises(Nonsense):
        parse(body, 0.0)


def test_a_token_is_used_until_it_expires() -> None:
    """At its last moment it is no longer sent."""
    access = Access()
    access.token = Token("t", 10.0)
    assert access.header(9.9) == {"Authorization": "Bearer t"}
    assert access.header(10.0) == {}
