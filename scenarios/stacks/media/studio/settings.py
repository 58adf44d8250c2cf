"""The media service's configuration, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

DELIVERIES = ("send_file", "generator", "whole", "accel")
_SITE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8"


@dataclass(frozen=True)
class Settings:
    """Where media lie and how they are sent, who may have them, and which services know that."""

    root: Path
    mime_types: Path
    delivery: str
    ingest_token: str
    signing_key: str
    subnets: tuple[IPv4Network | IPv6Network, ...]
    proxies: tuple[str, ...]
    default_user: str
    assets_url: str
    ids_url: str
    redis_url: str
    cache_s: int


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings; ValueError where one makes no sense, KeyError for a secret that is not set."""
    delivery = environment.get("DELIVERY", "send_file")
    if delivery not in DELIVERIES:
        raise ValueError(f"DELIVERY is {delivery!r}; it is one of {', '.join(DELIVERIES)}")
    cache_s = int(environment.get("PERMISSION_CACHE_S", "60"))
    if cache_s < 0:
        raise ValueError(f"PERMISSION_CACHE_S is {cache_s}; 0 is never")
    return Settings(
        root=Path(environment.get("MEDIA_ROOT", "/srv/media")),
        mime_types=Path(__file__).with_name("mime.types"),
        delivery=delivery,
        ingest_token=environment["MEDIA_INGEST_TOKEN"],
        signing_key=environment["MEDIA_SIGNING_KEY"],
        subnets=tuple(ip_network(one) for one in environment.get("SITE_SUBNETS", _SITE).split()),
        proxies=tuple(environment.get("TRUSTED_PROXIES", "nginx").split()),
        default_user=environment.get("DEFAULT_USER", "screening"),
        assets_url=environment.get("ASSETS_URL", "http://assets:8000"),
        ids_url=environment.get("IDS_URL", "http://ids:8000"),
        redis_url=environment.get("REDIS_URL", "redis://redis:6379/0"),
        cache_s=cache_s,
    )
