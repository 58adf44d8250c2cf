"""What the registry locustfile reads and sends: challenges, tokens, manifests, catalogues, redirects."""

from __future__ import annotations

import json
from typing import Any

import pytest

import _challenge
import _token
from _catalogue import Image, images
from _challenge import Bearer, Challenge, bearer
from _manifest import Descriptor, blobs, for_platform, top
from _redirect import follow
from _token import Access, Credentials, Token, basic, get_url, password_form, refresh_form
from _untrusted import Nonsense

REALM = 'Bearer realm="http://127.0.0.1/token",service="svc",scope="repository:app:pull"'


def test_the_challenge_of_a_registry() -> None:
    """Realm, service and scope are read without their quotes, also behind another scheme; one is needed."""
    for header in (REALM, f'Basic realm="x, y", {REALM}'):
        assert bearer(header) == Bearer("http://127.0.0.1/token", "svc", "repository:app:pull")
    with pytest.raises(Nonsense, match="no Bearer"):
        bearer('Basic realm="x"')


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
    assert _challenge.parse(header) == challenges


@pytest.mark.parametrize("header", ['A b="open', "A b=1 c=2", "@", "A b=(1)", 'A b="1"2'])
def test_a_malformed_challenge_is_nonsense(header: str) -> None:
    """A header outside of the grammar is refused."""
    with pytest.raises(Nonsense):
        _challenge.parse(header)


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://x/", "http://", "http://a b/", "http://[::1", "http://u:p@h/"]
)
def test_a_realm_that_can_not_be_asked_is_nonsense(realm: str) -> None:
    """Only an absolute http or https URL without credentials is asked for a token."""
    with pytest.raises(Nonsense, match="realm"):
        bearer(f'Bearer realm="{realm}"')


CHALLENGE = Bearer("http://h/token", "svc", "repository:a:pull repository:b:pull")


def test_the_form_is_containerds() -> None:
    """Fields in the order of Go's url.Values, escaped; a refresh token stands for name and password."""
    form = password_form(CHALLENGE, "me", "p&w")
    scope = b"&scope=repository%3Aa%3Apull+repository%3Ab%3Apull&service=svc"
    assert form == b"client_id=containerd-client&grant_type=password&password=p%26w" + scope + b"&username=me"
    assert password_form(CHALLENGE, "me", "p&w", offline=True) == b"access_type=offline&" + form
    renewing = b"client_id=containerd-client&grant_type=refresh_token&refresh_token=r"
    assert refresh_form(CHALLENGE, "r") == renewing + scope


def test_a_refresh_token_takes_the_place_of_the_password() -> None:
    """Only where it is wanted and was given as text; without one the password is sent again."""
    each, once = Credentials("me", "p"), Credentials("me", "p", renews=True)
    for credentials in (each, once):
        credentials.learn(b'{"refresh_token": "r"}')
    assert each.form(CHALLENGE) == password_form(CHALLENGE, "me", "p")
    assert once.form(CHALLENGE) == refresh_form(CHALLENGE, "r")
    once.learn(b'{"token": "t"}')
    assert once.form(CHALLENGE) == password_form(CHALLENGE, "me", "p", offline=True)
    with pytest.raises(Nonsense, match="refresh token"):
        once.learn(b'{"refresh_token": 1}')


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
    assert _token.parse(json.dumps(answer).encode(), 1_000.0) == token


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nb"}', b'{"token": "t", "expires_in": "x"}']
)
def test_an_answer_without_a_token_is_nonsense(body: bytes) -> None:
    """Also one that could not be sent in a header."""
    with pytest.raises(Nonsense):
        _token.parse(body, 0.0)


def test_a_token_is_used_until_it_expires() -> None:
    """At its last moment it is no longer sent."""
    access = Access()
    access.token = Token("t", 10.0)
    assert access.header(9.9) == {"Authorization": "Bearer t"}
    assert access.header(10.0) == {}


A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
TYPE = "application/vnd.oci.image.manifest.v1+json"


def _entry(digest: str, **platform: str) -> dict[str, Any]:
    return {"mediaType": TYPE, "digest": digest, "size": 1, "platform": platform}


ENTRIES = [_entry(A, os="linux", architecture="arm", variant="v7"), _entry(B, os="linux", architecture="amd64")]
INDEX = json.dumps({"manifests": [*ENTRIES, {"mediaType": TYPE, "digest": C, "size": 1}]}).encode()


@pytest.mark.parametrize(("platform", "digest"), [("linux/amd64", B), ("linux/arm/v7", A), ("linux/arm", A)])
def test_the_platforms_manifest_is_chosen(platform: str, digest: str) -> None:
    """By os and architecture, and by variant where one is asked for."""
    assert for_platform(INDEX, platform) == Descriptor(TYPE, digest)


@pytest.mark.parametrize("platform", ["linux/arm64", "linux/arm/v6", "windows/amd64"])
def test_a_platform_that_is_not_offered_is_nonsense(platform: str) -> None:
    """No other platform is taken in its place."""
    with pytest.raises(Nonsense, match="platform"):
        for_platform(INDEX, platform)


def test_config_and_layers() -> None:
    """Each digest is fetched once."""
    document = {"config": _entry(A), "layers": [_entry(B), _entry(C), _entry(B)]}
    config, layers = blobs(json.dumps(document).encode())
    assert (config.digest, [layer.digest for layer in layers]) == (A, [B, C])


@pytest.mark.parametrize(
    "document",
    [
        *([], {}, {"config": _entry(A)}, {"config": _entry(A), "layers": ["x"]}),
        *({"config": _entry(digest), "layers": []} for digest in ("sha256:short", "md5:" + "a" * 32)),
        *({"config": {"digest": A, **more}, "layers": []} for more in ({}, {"mediaType": "a\r\nb"})),
    ],
)
def test_a_manifest_that_lacks_something_is_nonsense(document: object) -> None:
    """Nothing of it is used for a request."""
    with pytest.raises(Nonsense):
        blobs(json.dumps(document).encode())


def test_the_descriptor_of_a_tag() -> None:
    """Content-Type without its parameters, and the digest; Nonsense without one."""
    assert top("Application/X; charset=utf-8", A) == Descriptor("application/x", A)
    with pytest.raises(Nonsense, match="digest"):
        top("application/x", "")


@pytest.mark.parametrize(
    ("location", "there", "same"),
    [
        ("/b?c", "http://h:80/b?c", True),
        ("b", "http://h:80/v2/b", True),
        ("http://h/b#part", "http://h/b", True),
        ("http://h:81/b", "http://h:81/b", False),
        ("https://h/b", "https://h/b", False),
        ("//other/b", "http://other/b", False),
        ("http://sub.h/b", "http://sub.h/b", False),
    ],
)
def test_credentials_stay_with_the_origin(location: str, there: str, *, same: bool) -> None:
    """Same scheme, host and port, or no credentials."""
    assert follow("http://h:80/v2/a", location) == (there, same)


@pytest.mark.parametrize(
    "location", [None, "", "ftp://h/", "http://a b/", "http://[x/", "http://h:99999/", "\u00e9"]
)
def test_a_location_that_leads_nowhere_is_nonsense(location: str | None) -> None:
    """Nothing is requested."""
    with pytest.raises(Nonsense):
        follow("http://h/", location)


def test_a_catalogue_lists_images() -> None:
    """Sorted, so that the same seed chooses the same images; other fields are ignored."""
    tags = [{"tag": "2", "index": A}, {"tag": "1"}]
    listed = {"repositories": [{"name": "b", "tags": tags}, {"name": "a", "tags": []}]}
    assert images(json.dumps(listed).encode()) == (Image("b", "1"), Image("b", "2"))


@pytest.mark.parametrize(
    "catalogue", [b"", b"[]", b"{}", b'{"repositories": []}', b'{"repositories": [{"name": "a"}]}']
)
def test_an_empty_or_strange_catalogue_is_an_error(catalogue: bytes) -> None:
    """There has to be something to pull."""
    with pytest.raises(ValueError, match="."):  # noqa: RUF043  (any words)
        images(catalogue)
