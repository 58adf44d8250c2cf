"""Pull images from a token-protected registry as containerd does.

    locust -f registry_pull.py --host http://127.0.0.1:5000 --registry-repository library/app --registry-tag latest

The password stands in the environment variable REGISTRY_PASSWORD.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gevent.lock import BoundedSemaphore
from locust import events, task

import _challenge
import _manifest
import _redirect
import _token
from _catalogue import Image, images
from _untrusted import Nonsense
from seatrial.user import LeanUser, product
from seatrial.user.flows import Flow
from seatrial.user.response import Response

PROFILE = "containerd"
SIDE_BY_SIDE = 3
ENDPOINTS = "challenge|token|token refused|manifest by tag|index|manifest by digest|config|layer|redirect"


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    for name, default, text in (
        ("user", "", "who logs in; empty: anonymous"),
        ("repository", "", "the repository to pull from"),
        ("tag", "latest", "the tag to pull"),
        ("catalogue", "", "a catalogue.json to choose from"),
        ("wait", 1.0, "seconds between pulls"),
        ("login", "password", "what buys a token: password, or refresh (a refresh token that it bought once)"),
        ("platform", "linux/amd64", "os/architecture[/variant]"),
    ):
        variable = f"LOCUST_REGISTRY_{name.upper()}"
        parser.add_argument(f"--registry-{name}", type=type(default), default=default, env_var=variable, help=text)


class ContainerdPull(LeanUser):
    """Pulls one image after the other into an empty content store.

    containerd builds one authorizer to resolve the tag and another to fetch (`config/hosts.go`), so that a pull
    meets two challenges and makes two token exchanges; each exchange is a `login` flow, the whole is a `pull`.
    """

    endpoints = tuple(ENDPOINTS.split("|"))
    user_agent = f"{product()} ({PROFILE})"

    def prepare(self) -> None:
        """Read the options."""
        options: Any = self.environment.parsed_options
        if options.registry_login not in {"password", "refresh"}:
            self.refuse("there is no such login", seen=options.registry_login, expected="password or refresh")
        renews = options.registry_login == "refresh"
        self._login = _token.Credentials(options.registry_user, os.environ.get("REGISTRY_PASSWORD", ""), renews)
        self._platform: str = options.registry_platform
        self._wait_s: float = options.registry_wait
        self._one_exchange = BoundedSemaphore(1)  # for a token that ran out while several downloads run
        self._images = self._choice(options.registry_catalogue, options.registry_repository, options.registry_tag)

    def _choice(self, catalogue: str, repository: str, tag: str) -> tuple[Image, ...]:
        if not (repository or catalogue):
            self.refuse(
                "nothing to pull was named",
                expected="--registry-repository NAME (and --registry-tag TAG), or --registry-catalogue FILE",
                hint="locust -f registry_pull.py --host http://127.0.0.1:5000 --registry-repository library/app",
            )
        if repository:
            return (Image(repository, tag),)
        try:
            return _read(catalogue, Path(catalogue).stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            self.refuse("the catalogue can't be used", where=catalogue, seen=str(error))

    def wait_time(self) -> float:
        """Seconds between two pulls."""
        return self._wait_s

    @task
    def pull(self) -> None:
        """Resolve a tag, then fetch its manifests, config and layers."""
        image = self.random.choice(self._images)
        with self.flow("pull", profile=PROFILE) as flow:
            flow.detail["image"] = f"{image.repository}:{image.tag}"
            try:
                self._pull(image, flow)
            except Nonsense as error:
                flow.fail("protocol")
                flow.detail["reason"] = str(error)

    def _pull(self, image: Image, flow: Flow) -> None:
        base = f"/v2/{image.repository}"
        top = self._resolve(f"{base}/manifests/{image.tag}")
        access = _token.Access()
        if top is not None and top.media_type in _manifest.INDEXES:
            index = self._fetch(f"{base}/manifests/{top.digest}", "index", top, access, keep=True)
            top = _manifest.for_platform(index.body, self._platform) if _arrived(index) else None
        if top is None:
            return
        manifest = self._fetch(f"{base}/manifests/{top.digest}", "manifest by digest", top, access, keep=True)
        if not _arrived(manifest):
            return
        config, layers = _manifest.blobs(manifest.body)
        with self.parallel(SIDE_BY_SIDE) as downloads:
            for endpoint, blob in (("config", config), *(("layer", layer) for layer in layers)):
                if flow.ok:  # containerd gives up a pull when one of its downloads failed
                    downloads.spawn(self._fetch, f"{base}/blobs/{blob.digest}", endpoint, blob, access)

    def _resolve(self, path: str) -> _manifest.Descriptor | None:
        """Ask what a tag stands for."""
        asked: dict[str, Any] = {"endpoint": "manifest by tag", "headers": {"Accept": _manifest.RESOLVE_ACCEPT}}
        response = self._ask("HEAD", path, _token.Access(), **asked)
        if not _arrived(response):
            return None
        return _manifest.top(response.header("content-type"), response.header("docker-content-digest"))

    def _fetch(
        self, path: str, endpoint: str, what: _manifest.Descriptor, access: _token.Access, *, keep: bool = False
    ) -> Response:
        """Get a manifest or blob by its digest, and verify it."""
        accept = {"Accept": _manifest.fetch_accept(what.media_type)}
        return self._ask("GET", path, access, endpoint=endpoint, headers=accept, digest=what.digest, keep=keep)

    def _ask(self, method: str, path: str, access: _token.Access, **asked: Any) -> Response:  # noqa: ANN401  (client's own)
        """Do a request with what `access` grants; answer a first challenge with a token."""
        with self._one_exchange:
            if access.challenge is not None and not access.header(time.monotonic()):
                self._log_in(access, access.challenge, since_ns=None)
        response = self._once(method, path, access, asked)
        if response.status == HTTPStatus.UNAUTHORIZED and access.challenge is None:
            access.challenge = _challenge.bearer(response.header("www-authenticate"))
            if not self._log_in(access, access.challenge, since_ns=response.t_start_ns):
                return response
            response = self._once(method, path, access, asked)
        return response

    def _once(self, method: str, path: str, access: _token.Access, asked: Mapping[str, Any]) -> Response:
        """Do one request, and follow where it is sent; the credentials stay with the registry."""
        credentials = access.header(time.monotonic())
        expected = dict.fromkeys(_redirect.STATUSES, "redirect")
        if not credentials:
            expected[HTTPStatus.UNAUTHORIZED] = "challenge"
        url = f"{str(self.host).rstrip('/')}{path}"
        for _ in range(_redirect.LIMIT):
            headers = {**asked["headers"], **credentials}
            response = self.client.request(method, url, **{**asked, "headers": headers}, also=expected)
            if not response.ok or response.status not in _redirect.STATUSES:
                return response
            url, same_origin = _redirect.follow(url, response.location)
            credentials = credentials if same_origin else {}
        raise Nonsense("too many redirects")

    def _log_in(self, access: _token.Access, challenge: _challenge.Bearer, *, since_ns: int | None) -> bool:
        """Exchange the password for a token; return whether there is one now."""
        with self.flow("login", profile=PROFILE, since_ns=since_ns) as flow:
            response = self._token_response(challenge)
            if response.ok:
                try:
                    access.token = _token.parse(response.body, time.monotonic())
                    self._login.learn(response.body)
                except Nonsense as error:
                    flow.fail("protocol")
                    flow.detail["reason"] = str(error)
        return flow.ok

    def _token_response(self, challenge: _challenge.Bearer) -> Response:
        """Ask by POST; where the server does not know that (`token refused`), or without a login, by GET."""
        if self._login.user:
            response = self.client.post(
                challenge.realm,
                endpoint="token",
                headers={"Content-Type": _token.FORM},
                body=self._login.form(challenge),
                also=dict.fromkeys(_token.TRY_GET_AFTER, "token refused"),
                keep=True,
            )
            if response.status not in _token.TRY_GET_AFTER:
                return response
        credentials = _token.basic(self._login.user, self._login.password)
        return self.client.get(_token.get_url(challenge), endpoint="token", headers=credentials, keep=True)


def _arrived(response: Response) -> bool:
    return response.ok and response.status == HTTPStatus.OK


@lru_cache(maxsize=4)
def _read(path: str, _changed_ns: int) -> tuple[Image, ...]:
    """Read a catalogue once for all users, and again when the file has changed."""
    return images(Path(path).read_bytes())
