"""Signs access tokens with the stack's own key; the registry verifies them by the certificate alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


class Signer:
    """Holds the private key in memory."""

    def __init__(self, key_file: Path, certificate_file: Path) -> None:
        self._key = load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        # RFC 7515 section 4.1.6: the certificate as standard base64 of its DER form, not base64url.
        self._header = {
            "x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()],
            "kid": _key_id(certificate),
        }

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a JWT, signed with ES256."""
        return jwt.encode(dict(claims), self._key, algorithm="ES256", headers=self._header)


def _key_id(certificate: x509.Certificate) -> str:
    """Return the fingerprint that Distribution knows a key by (docs/content/spec/auth/jwt.md, `kid`).

    SHA-256 of the public key, its first 240 bits in base32, in twelve groups of four.
    """
    public_key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(public_key).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))
