"""Each variant of the registry scenarios comes up, serves a pull, and is what its name says."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from seatrial.model import Variant
from seatrial.scenario import reading

pytestmark = pytest.mark.docker

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"
SERVICE = "seatrial-registry"
REPOSITORY = "seatrial/app-1"
PASSWORD = "sesame"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
GUNICORN = reading.read("registry-gunicorn").variants
NGINX = reading.read("registry-nginx").variants
REDIS = reading.read("registry-redis").variants

_WORKERS = """
import glob, http.client, json
gevent = []
for status in glob.glob("/proc/[0-9]*/status"):
    if "PPid:\\t1\\n" in open(status).read():
        with open(status.replace("status", "maps")) as maps:
            gevent.append("/gevent/" in maps.read())
asked = http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
asked.request("GET", "/token?service=seatrial-registry")
print(json.dumps({"gevent": gevent, "connection": asked.getresponse().headers["Connection"]}))
"""


@dataclass
class Standing:
    """One project, whose variant is changed while it stands; only services that differ are made anew."""

    project: str
    override: Path
    catalogue: Path
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What Compose and the seeding see."""
        return dict(os.environ) | {
            "REGISTRY_PASSWORD": PASSWORD,
            "PYTHONDONTWRITEBYTECODE": "1",
            "SEATRIAL_FRONT_DOOR": self.url,
            "SEATRIAL_CATALOGUE": str(self.catalogue),
        }

    def compose(self, *words: str) -> str:
        """Run `docker compose` on the project, and return what it printed."""
        argv = ["docker", "compose", "-p", self.project, "-f", "compose.yaml", "-f", str(self.override), *words]
        done = subprocess.run(
            argv, cwd=STACK, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def become(self, variant: Variant) -> None:
        """Change the stack to a variant, and wait until it answers."""
        self.override.write_text(yaml.safe_dump({**variant.compose, **_mounts(variant)}), encoding="utf-8")
        self.compose("up", "--detach", "--no-build", "--timeout", "3")
        if not variant.files:
            self.compose("restart", "--timeout", "3", "nginx")  # it looks its upstreams up at start only
        self.url = f"http://{self.compose('port', 'nginx', '80').strip()}"
        with requests.Session() as session:
            again = Retry(total=20, backoff_factor=0.1, backoff_max=0.5, status_forcelist=[502])
            session.mount("http://", HTTPAdapter(max_retries=again))
            session.get(f"{self.url}/token?service={SERVICE}", timeout=10).raise_for_status()

    def token(self, **form: str) -> dict[str, Any]:
        """Buy a token by POST."""
        asked = {"service": SERVICE, "client_id": "test", "scope": f"repository:{REPOSITORY}:pull", **form}
        answer = requests.post(f"{self.url}/token", data=asked, timeout=10)
        answer.raise_for_status()
        bought: dict[str, Any] = answer.json()
        return bought

    def log_in(self) -> dict[str, Any]:
        """Buy a token and a refresh token with the password."""
        return self.token(grant_type="password", username="captain", password=PASSWORD, access_type="offline")

    def pull(self) -> int:
        """Pull the seeded image, verify every digest, and return the number of its blobs."""
        (tag,) = json.loads(self.catalogue.read_text())["repositories"][0]["tags"]
        headers = {"Authorization": f"Bearer {self.log_in()['access_token']}", "Accept": INDEX_TYPE}
        base = f"{self.url}/v2/{REPOSITORY}"
        index = requests.get(f"{base}/manifests/{tag['tag']}", headers=headers, timeout=10)
        assert index.headers["Docker-Content-Digest"] == tag["index"]
        blobs = [blob for one in tag["platforms"] for blob in (one["config"], *one["layers"])]
        for blob in blobs:
            body = requests.get(f"{base}/blobs/{blob['digest']}", headers=headers, timeout=10).content
            assert "sha256:" + hashlib.sha256(body).hexdigest() == blob["digest"]
        return len(blobs)

    def inside(self, service: str, *words: str) -> str:
        """Run a command in a service's container."""
        return self.compose("exec", "-T", service, *words)

    def connections_taken(self) -> int:
        """Return how many TCP connections the token service's network has accepted since its start."""
        lines = self.inside("auth", "cat", "/proc/net/snmp").splitlines()
        names, values = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(values[names.index("PassiveOpens")])

    def redis(self, *words: str) -> str:
        """Ask Redis."""
        return self.inside("redis", "redis-cli", *words)

    def redis_connections(self) -> int:
        """Return how many connections Redis has accepted; each of our own questions is one of them."""
        told = dict(line.split(":", 1) for line in self.redis("INFO", "stats").split() if ":" in line)
        return int(told["total_connections_received"])


def _mounts(variant: Variant) -> dict[str, Any]:
    """Return the override that mounts a variant's files in the place of those that they replace."""
    if not variant.files:
        return {}
    services = yaml.safe_load((STACK / "compose.yaml").read_text(encoding="utf-8"))["services"]
    instead: dict[str, Any] = {}
    for old, new in variant.files.items():
        for name, service in services.items():
            for mount in service.get("volumes", ()):
                source, target, *_ = mount.split(":")
                if STACK / source == old:
                    instead.setdefault(name, {"volumes": []})["volumes"].append(f"{new}:{target}:ro")
    return {"services": instead}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Bring the stack up once, seeded with one small image, and remove all of it at the end."""
    folder = tmp_path_factory.mktemp("variants")
    stack = Standing(f"seatrial-test-{uuid.uuid4().hex[:8]}", folder / "override.yaml", folder / "catalogue.json")
    stack.override.write_text("{}", encoding="utf-8")
    try:
        # Built under the stack's own name: Compose writes the project into an image, and each would be a new one.
        Standing("seatrial-registry", stack.override, stack.catalogue).compose("build")
        stack.become(GUNICORN["base"])
        small = ["--repositories", "1", "--tags", "1", "--layers", "2", "--layer-size", "4KiB"]
        subprocess.run(
            [sys.executable, "seed.py", *small], cwd=STACK, env=stack.environment, check=True, timeout=60
        )
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "3")


@pytest.mark.parametrize("name", sorted(GUNICORN))
def test_a_gunicorn_variant_has_its_workers(standing: Standing, name: str) -> None:
    """As many as named, of the class named: gevent is loaded or not, and only sync closes each connection."""
    kind, _, count = ("gthread-2" if name == "base" else name).partition("-")
    standing.become(GUNICORN[name])
    seen = json.loads(standing.inside("auth", "python3", "-c", _WORKERS))

    assert standing.pull() == 6
    assert seen["gevent"] == [kind == "gevent"] * int(count)
    assert seen["connection"] == ("close" if kind == "sync" else "keep-alive")


@pytest.mark.parametrize("name", sorted(NGINX))
def test_an_nginx_variant_buffers_and_keeps_as_named(standing: Standing, name: str) -> None:
    """Ten tokens one after the other are one connection to the token service, or ten."""
    standing.become(NGINX[name])
    refresh = standing.log_in()["refresh_token"]
    before = standing.connections_taken()
    for _ in range(10):
        standing.token(grant_type="refresh_token", refresh_token=refresh)
    opened = standing.connections_taken() - before

    assert standing.pull() == 6
    configured = standing.inside("nginx", "nginx", "-T")
    assert f"proxy_buffering {'off' if name.startswith('buffering-off') else 'on'};" in configured
    # two workers of nginx, each with connections of its own
    assert opened == 10 if name.endswith("closed") else opened <= 2


@pytest.mark.parametrize("name", ["base", "in-memory", "no-cache"])
def test_descriptors_are_cached_where_the_variant_says(standing: Standing, name: str) -> None:
    """In Redis, in the registry (which then counts its look-ups), or nowhere."""
    standing.become(REDIS[name])
    standing.redis("FLUSHALL")
    assert standing.pull() == 6
    ask = "import urllib.request as u; print(u.urlopen('http://registry:5001/metrics', timeout=5).read().decode())"
    metrics = standing.inside("auth", "python3", "-c", ask)

    assert (standing.redis("-n", "0", "DBSIZE").strip() != "0") == (name == "base")
    assert ("registry_storage_cache_total{" in metrics) == (name != "no-cache")


@pytest.mark.parametrize("name", ["base", "no-pool"])
def test_a_token_costs_a_connection_only_without_a_pool(standing: Standing, name: str) -> None:
    """Redis counts what it accepts: one for each renewal without a pool; with it at most one for each thread."""
    standing.become(REDIS[name])
    refresh = standing.log_in()["refresh_token"]
    before = standing.redis_connections()
    for _ in range(40):
        standing.token(grant_type="refresh_token", refresh_token=refresh)
    opened = standing.redis_connections() - before - 1

    assert standing.pull() == 6
    assert opened == 40 if name == "no-pool" else opened <= 16
