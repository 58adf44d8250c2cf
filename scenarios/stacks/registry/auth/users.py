"""Who may log in, and what each may do, from the file that the one-shot service `credentials` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auth import scopes

Matches = Callable[[bytes, bytes], bool]


@dataclass(frozen=True)
class User:
    """One account; anonymous is the one without a name."""

    name: str
    password_hash: bytes
    rules: tuple[scopes.Scope, ...]


class Directory:
    """The accounts, each with its password hash and its rules."""

    def __init__(self, document: str, *, matches: Matches) -> None:
        content = json.loads(document)
        self._matches = matches
        self._decoy_hash = content["decoy_hash"].encode()
        self.anonymous = User("", b"", scopes.parse([content["anonymous_access"]]))
        self._users = {
            user["name"]: User(user["name"], user["password_hash"].encode(), scopes.parse([user["access"]]))
            for user in content["users"]
        }

    def find(self, name: str) -> User | None:
        """Return the account of that name."""
        return self._users.get(name)

    def authenticate(self, name: str, password: str) -> User | None:
        """Return the account if the password is right; an unknown name costs as much time as a wrong password."""
        user = self._users.get(name)
        password_hash = user.password_hash if user else self._decoy_hash
        return user if self._matches(password.encode(), password_hash) and user else None


def load(path: Path, *, matches: Matches) -> Directory:
    """Read the accounts from their file."""
    return Directory(path.read_text(), matches=matches)
