"""The files of the registry's variants differ from the base's only in the setting that they are named for."""

import difflib
from pathlib import Path

import pytest

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"


@pytest.mark.parametrize("name", ["cache-in-memory.yml", "cache-none.yml"])
def test_a_registry_without_redis_differs_in_its_cache_only(name: str) -> None:
    """A change that is forgotten in one of them would be measured as an effect of the cache."""
    base, other = ((STACK / "registry" / file).read_text().splitlines() for file in ("config.yml", name))
    changed = [line for line in difflib.ndiff(base, other) if line[:2] in {"- ", "+ "}]

    assert [line.split(":")[0][2:].strip() for line in changed] == ["blobdescriptor"] * 2


@pytest.mark.parametrize(
    ("base", "other", "only"),
    [
        ("upstreams", "upstreams-closed", {"keepalive", "proxy_set_header"}),
        ("buffering", "buffering-off", {"proxy_buffering"}),
    ],
)
def test_an_nginx_file_differs_in_its_directive_only(base: str, other: str, only: set[str]) -> None:
    """The rest of nginx.conf is one file for all."""
    both = [_directives(STACK / "nginx" / f"{name}.conf") for name in (base, other)]

    assert {line.split()[0] for line in set(both[0]) ^ set(both[1])} == only


def _directives(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line not in {"", "}"}]
