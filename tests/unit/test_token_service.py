"""The token service of the registry stack follows the token protocol of Distribution."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"))
app = importlib.import_module("auth.app")
scopes = importlib.import_module("auth.scopes")
settings = importlib.import_module("auth.settings")
tokens = importlib.import_module("auth.tokens")
users = importlib.import_module("auth.users")

NOW_S = 1_700_000_000.9
SERVICE = "seatrial-registry"
ACCOUNTS = {
    "users": [{"name": "captain", "password_hash": "sesame", "access": "repository:*:pull,push"}],
    "anonymous_access": "repository:public/*:pull",
    "decoy_hash": "decoy",
}


class Store:
    """Refresh tokens in memory."""

    def __init__(self, *, answers: bool = True) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}
        self.answers = answers

    def issue(self, user: str, service: str) -> str:
        """Make a token."""
        if not self.answers:
            raise ConnectionError("the store does not answer")
        token = f"refresh-{len(self.tokens)}"
        self.tokens[token] = (user, service)
        return token

    def owner(self, token: str, service: str) -> str | None:
        """Find a token."""
        user, audience = self.tokens.get(token, (None, None))
        return user if audience == service else None


def _client(store: Store | None = None, **environment: str) -> FlaskClient:
    service = tokens.TokenService(
        settings=settings.from_environment(environment),
        users=users.Directory(json.dumps(ACCOUNTS), matches=lambda password, stored: password == stored),
        refresh=store or Store(),
        sign=lambda claims: json.dumps(claims, sort_keys=True),
        now_s=lambda: NOW_S,
        token_id=lambda: "id",
    )
    client: FlaskClient = app.create(service).test_client()
    return client


def _access(answer: dict[str, Any]) -> list[dict[str, Any]]:
    access: list[dict[str, Any]] = json.loads(answer["access_token"])["access"]
    return access


def _post(client: FlaskClient, **form: str) -> Any:  # noqa: ANN401  (werkzeug's test response is untyped)
    return client.post("/token", data={"service": SERVICE, "client_id": "test", **form})


PASSWORD = {"grant_type": "password", "username": "captain", "password": "sesame"}
ASK = {"service": SERVICE, "scope": "repository:app:pull"}
RULES = ("*:pull", "a*:*", "team/*:*")


def test_get_with_basic_gives_a_token_for_the_scope() -> None:
    """`token` and `access_token` are equal; the answer has their lifetime and when they were issued."""
    answer = _client().get("/token", query_string=ASK, auth=("captain", "sesame"))

    body = answer.get_json()
    assert body["token"] == body["access_token"]
    assert (body["expires_in"], body["issued_at"]) == (300, "2023-11-14T22:13:20Z")
    assert json.loads(body["token"]) == {
        "iss": "seatrial-auth",
        "sub": "captain",
        "aud": SERVICE,
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 1_700_000_300,
        "jti": "id",
        "access": [{"type": "repository", "name": "app", "actions": ["pull"]}],
    }
    assert "refresh_token" not in body
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("auth", [("captain", "wrong"), ("unknown", "sesame"), ("unknown", "decoy"), ("", "")])
def test_get_with_wrong_credentials_is_401(auth: tuple[str, str]) -> None:
    """The answer is the same for a wrong name and a wrong password."""
    answer = _client().get("/token", query_string=ASK, auth=auth)

    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="registry"'


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc"])
def test_a_garbled_authorization_is_not_anonymous(header: str) -> None:
    """A login that fails gets 401, not an empty token."""
    assert _client().get("/token", query_string=ASK, headers={"Authorization": header}).status_code == 401


def test_anonymous_gets_what_is_public_and_nothing_else() -> None:
    """Without credentials there is a token, whose access may be empty."""
    query = {"service": SERVICE, "scope": ["repository:public/app:pull,push", "repository:app:pull"]}
    answer = _client().get("/token", query_string={**query, "offline_token": "true"})

    assert _access(answer.get_json()) == [{"type": "repository", "name": "public/app", "actions": ["pull"]}]
    assert json.loads(answer.get_json()["token"])["sub"] == ""
    assert "refresh_token" not in answer.get_json()


def test_several_scopes_come_as_parameters_or_with_spaces() -> None:
    """GET repeats the parameter, POST separates by spaces; an action that the user may not do is left out."""
    both = ["repository:a:pull", "repository:b:push,pull"]
    by_get = _client().get("/token", query_string={"service": SERVICE, "scope": both}, auth=("captain", "sesame"))
    by_post = _post(_client(), **PASSWORD, scope=" ".join(both))
    less = _post(_client(), **PASSWORD, scope="repository:app:pull,delete registry:catalog:*")

    assert [entry["name"] for entry in _access(by_get.get_json())] == ["a", "b"]
    assert _access(by_get.get_json()) == _access(by_post.get_json())
    assert by_post.get_json()["scope"] == "repository:a:pull repository:b:push,pull"
    assert (less.status_code, less.get_json()["scope"]) == (200, "repository:app:pull")


def test_a_refresh_token_is_issued_on_request_and_gives_tokens() -> None:
    """GET requests it by offline_token, POST by access_type; it then replaces the password."""
    client = _client()
    by_get = client.get("/token", query_string={**ASK, "offline_token": "true"}, auth=("captain", "sesame"))
    by_post = _post(client, **PASSWORD, access_type="offline")
    refresh = by_get.get_json()["refresh_token"]

    body = _post(client, grant_type="refresh_token", refresh_token=refresh, scope="repository:app:push").get_json()

    assert (refresh, by_post.get_json()["refresh_token"]) == ("refresh-0", "refresh-1")
    assert (body["scope"], body["refresh_token"]) == ("repository:app:push", "refresh-0")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**PASSWORD, "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({**PASSWORD, "service": "another"}, "invalid_request"),
        ({**PASSWORD, "client_id": ""}, "invalid_request"),
        ({**PASSWORD, "scope": "repository:app"}, "invalid_scope"),
    ],
)
def test_a_wrong_post_is_an_oauth_error(form: dict[str, str], error: str) -> None:
    """RFC 6749 section 5.2: 400 with an error code, so that containerd falls back to GET."""
    answer = _post(_client(), **form)

    assert (answer.status_code, answer.get_json()["error"]) == (400, error)


def test_a_store_that_does_not_answer_is_503() -> None:
    """The client may try again; nothing is revealed, and nothing crashes."""
    answer = _post(_client(Store(answers=False)), **PASSWORD, access_type="offline")

    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")


def test_the_life_of_a_token_is_configurable_from_sixty_seconds() -> None:
    """Clients treat a shorter lifetime as sixty seconds, and would use the token after its end."""
    answer = _client(TOKEN_EXPIRES_IN="60").get("/token", query_string=ASK)

    assert answer.get_json()["expires_in"] == 60
    with pytest.raises(ValueError, match="TOKEN_EXPIRES_IN is 59 s; clients expect at least 60 s"):
        settings.from_environment({"TOKEN_EXPIRES_IN": "59"})


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("repository:a/b:pull", {"type": "repository", "name": "a/b", "actions": ["pull"]}),
        ("repository:host:5000/a:pull", {"type": "repository", "name": "host:5000/a", "actions": ["pull"]}),
        ("registry:catalog:*", {"type": "registry", "name": "catalog", "actions": ["*"]}),
        (
            "repository(plugin):a:pull,pull",
            {"type": "repository", "class": "plugin", "name": "a", "actions": ["pull"]},
        ),
    ],
)
def test_a_scope_follows_the_grammar(text: str, claim: dict[str, Any]) -> None:
    """A name may hold a host with a port; a type may have a class; an action counts once."""
    (scope,) = scopes.parse([text])
    assert scope.claim() == claim


@pytest.mark.parametrize(
    "text", ["repository", "repository:app", "repository:app:", "Repository:app:pull", ":a:pull"]
)
def test_an_invalid_scope_is_refused(text: str) -> None:
    """A typing error is not an empty request."""
    with pytest.raises(scopes.InvalidScope, match="is not TYPE:NAME:ACTION"):
        scopes.parse([text])


def test_every_action_is_granted_only_by_a_rule_with_a_star() -> None:
    """`*` in a rule grants every action that is requested; a requested `*` needs `*` in a rule."""
    (scope,) = scopes.parse(["repository:app:pull,*"])

    granted = {rule: scopes.granted([scope], scopes.parse([f"repository:{rule}"])) for rule in RULES}

    assert [str(part) for part in granted["*:pull"]] == ["repository:app:pull"]
    assert (granted["a*:*"], granted["team/*:*"]) == ((scope,), ())
