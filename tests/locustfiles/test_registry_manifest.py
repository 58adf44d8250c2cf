"""Manifests, catalogues and redirects as the registry locustfile reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from _catalogue import Image, images
from _manifest import Descriptor, blobs, for_platform, top
from _redirect import follow
from _untrusted import Nonsense

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
TYPE = "application/vnd.oci.image.manifest.v1+json"


def _entry(digest: str, **platform: str) -> dict[str, Any]:
    return {"mediaType": TYPE, "digest": digest, "size": 1, "platform": platform}


INDEX = json.dumps(
    {
        "manifests": [
            _entry(A, os="linux", architecture="arm", variant="v7"),
            _entry(B, os="linux", architecture="amd64"),
            {"mediaType": TYPE, "digest": C, "size": 1},
        ]
    }
).encode()


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
        [],
        {},
        {"config": _entry(A)},
        {"config": _entry(A), "layers": ["x"]},
        {"config": _entry("sha256:short"), "layers": []},
        {"config": _entry("md5:" + "a" * 32), "layers": []},
        {"config": {"digest": A}, "layers": []},
        {"config": {"digest": A, "mediaType": "a\r\nb"}, "layers": []},
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
    listed = {
        "repositories": [
            {"name": "b", "tags": [{"tag": "2", "index": A}, {"tag": "1"}]},
            {"name": "a", "tags": []},
        ]
    }
    assert images(json.dumps(listed).encode()) == (Image("b", "1"), Image("b", "2"))


@pytest.mark.parametrize(
    "catalogue", [b"", b"[]", b"{}", b'{"repositories": []}', b'{"repositories": [{"name": "a"}]}']
)
def test_an_empty_or_strange_catalogue_is_an_error(catalogue: bytes) -> None:
    """There has to be something to pull."""
    with pytest.raises(ValueError, match="."):  # noqa: RUF043  (any words)
        images(catalogue)
