"""The one-shot service: makes the signing key, its certificate and the users' file, then ends.

Once made, the key and the certificate stay, so that tokens and the registry's trust survive a restart; the users'
file is written again each time, because the password may have changed. `python3 -m auth.credentials`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from auth import scopes
from auth.settings import Settings, from_environment

_PRIVATE = 0o600
_PUBLIC = 0o644


def main(environment: Mapping[str, str]) -> None:
    """Write what is missing; raises KeyError for an unset password and InvalidScope for a broken rule."""
    settings = from_environment(environment)
    if not (settings.key_file.exists() and settings.certificate_file.exists()):
        _write_key(settings)
    _write(settings.users_file, json.dumps(_accounts(environment)).encode(), _PRIVATE)


def _accounts(environment: Mapping[str, str]) -> dict[str, object]:
    access = environment.get("USER_ACCESS", "repository:*:* registry:catalog:*")
    anonymous_access = environment.get("ANONYMOUS_ACCESS", "")
    scopes.parse([access, anonymous_access])
    # 10 is the least that OWASP's password storage sheet names for bcrypt; each step doubles the cost of a login.
    rounds = int(environment.get("BCRYPT_ROUNDS", "10"))
    password_hash = bcrypt.hashpw(environment["REGISTRY_PASSWORD"].encode(), bcrypt.gensalt(rounds)).decode()
    user = {"name": environment["REGISTRY_USER"], "password_hash": password_hash, "access": access}
    decoy_hash = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(rounds)).decode()
    return {"users": [user], "anonymous_access": anonymous_access, "decoy_hash": decoy_hash}


def _write_key(settings: Settings) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, settings.issuer)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private_bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(settings.key_file, private_bytes, _PRIVATE)
    _write(settings.certificate_file, certificate.public_bytes(Encoding.PEM), _PUBLIC)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write the whole file or none, readable by no other user at any moment."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    unfinished.chmod(mode)
    unfinished.replace(path)


if __name__ == "__main__":
    main(os.environ)
