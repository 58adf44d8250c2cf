"""The service's configuration, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MINIMUM_LIFE_S = 60  # docs/content/spec/auth/token.md: expires_in is at least 60 seconds


@dataclass(frozen=True)
class Settings:
    """Who the service is, how long its tokens live, and where its files and its store are."""

    service: str
    issuer: str
    expires_in_s: int
    refresh_expires_in_s: int
    redis_url: str
    redis_connections: int
    key_file: Path
    certificate_file: Path
    users_file: Path


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings; ValueError where a number is none, or a token's life is shorter than a client expects."""
    expires_in_s = int(environment.get("TOKEN_EXPIRES_IN", "300"))
    if expires_in_s < MINIMUM_LIFE_S:
        raise ValueError(f"TOKEN_EXPIRES_IN is {expires_in_s} s; clients expect at least {MINIMUM_LIFE_S} s")
    return Settings(
        service=environment.get("TOKEN_SERVICE", "seatrial-registry"),
        issuer=environment.get("TOKEN_ISSUER", "seatrial-auth"),
        expires_in_s=expires_in_s,
        refresh_expires_in_s=int(environment.get("REFRESH_TOKEN_EXPIRES_IN", "604800")),
        redis_url=environment.get("REDIS_URL", "redis://redis:6379/1"),
        redis_connections=int(environment.get("REDIS_CONNECTIONS", "16")),
        key_file=Path(environment.get("SIGNING_KEY_FILE", "/srv/vault/signing.key")),
        certificate_file=Path(environment.get("CERTIFICATE_FILE", "/srv/trust/certificate.pem")),
        users_file=Path(environment.get("USERS_FILE", "/srv/vault/users.json")),
    )
