"""A registry and its token realm, small and strict, in threads of the test process; every request is logged."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from process.served import Handler, served

USER, PASSWORD, TOKEN = "puller", "s3cret", "tok-1"
OCI = "application/vnd.oci.image."
GRANTED = {
    "username": [USER],
    "password": [PASSWORD],
    "grant_type": ["password"],
    "client_id": ["containerd-client"],
}


def digest_of(blob: bytes) -> str:
    """Return a blob's digest."""
    return "sha256:" + hashlib.sha256(blob).hexdigest()


@dataclass
class Log:
    """One request as the server saw it."""

    method: str
    path: str
    status: int
    headers: dict[str, str]


@dataclass
class Registry:
    """The registry's content, its log, and how it misbehaves.

    `delay_s` maps a part of a path to the wait in the middle of its response; the content of `corrupt` digests is
    replaced by other bytes of the same length; `elsewhere` redirects blobs to another origin by 307. `halves`
    counts the delayed responses of which half was sent.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    log: list[Log] = field(default_factory=list)
    delay_s: dict[str, float] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    elsewhere: str = ""
    post_status: int = 200
    expires_in: int = 300
    authenticated: bool = True
    url: str = ""
    halves: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def add(self, blob: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
        """Store a blob; return its descriptor."""
        digest = digest_of(blob)
        self.blobs[digest], self.types[digest] = blob, media_type
        return {"mediaType": media_type, "digest": digest, "size": len(blob)}

    def add_image(self, tag: str, layers: list[bytes]) -> str:
        """Store an image behind an index; return the index's digest."""
        manifest = {
            "config": self.add(json.dumps({"tag": tag}).encode(), OCI + "config.v1+json"),
            "layers": [self.add(layer, OCI + "layer.v1.tar+gzip") for layer in layers],
        }
        entry = self.add(json.dumps(manifest).encode(), OCI + "manifest.v1+json")
        entry["platform"] = {"os": "linux", "architecture": "amd64"}
        index = self.add(json.dumps({"manifests": [entry]}).encode(), OCI + "index.v1+json")
        self.tags[tag] = index["digest"]
        return str(index["digest"])


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """Serve on a free port of 127.0.0.1; `registry.url` is set."""
    with served(type("RegistryHandler", (_Handler,), {"registry": registry})) as url:
        registry.url = url
        try:
            yield registry
        finally:
            registry.released.set()


class _Handler(Handler):
    registry: Registry

    def do_HEAD(self) -> None:
        self._registry(body=False)

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            query = parse_qs(urlsplit(self.path).query)
            basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            granted = self.headers.get("Authorization") == f"Basic {basic}" and query.get("service") == ["svc"]
            self._token(200 if granted else 401)
        else:
            self._registry(body=True)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        granted = form.items() >= GRANTED.items()
        self._token(self.registry.post_status if granted else 401)

    def _token(self, status: int) -> None:
        answer = {"token": TOKEN, "expires_in": self.registry.expires_in} if status == 200 else {"errors": []}
        self._answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _registry(self, *, body: bool) -> None:
        registry = self.registry
        if registry.authenticated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="{registry.url}/token",service="svc",scope="repository:app:pull"'
            self._answer(401, b'{"errors":[]}', {"WWW-Authenticate": realm}, body=body)
            return
        reference = self.path.rpartition("/")[2]
        digest = registry.tags.get(reference, reference)
        if registry.elsewhere and "/blobs/" in self.path:
            self._answer(307, b"", {"Location": f"{registry.elsewhere}{self.path}"})
            return
        blob = registry.blobs.get(digest)
        if blob is None:
            self._answer(404, b'{"errors":[]}', {})
            return
        sent = bytes(len(blob)) if digest in registry.corrupt else blob
        headers = {"Content-Type": registry.types[digest], "Docker-Content-Digest": digest}
        self._answer(200, sent, headers, body=body)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        self.registry.log.append(Log(self.command, self.path, status, dict(self.headers)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        delay = next((s for piece, s in self.registry.delay_s.items() if piece in self.path), 0.0)
        if body:
            try:
                self.wfile.write(content[: len(content) // 2])
                if delay:
                    with self.registry.counting:
                        self.registry.halves += 1
                    self.registry.released.wait(delay)
                self.wfile.write(content[len(content) // 2 :])
            except OSError:
                self.close_connection = True
