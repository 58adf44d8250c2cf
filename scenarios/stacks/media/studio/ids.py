"""The uid and gid service: which account a user has on the site's hosts, which a container does not see.

Environment: ACCOUNTS (`screening:1000:5000 editor:1001:5000,5001`: users, uid and gids).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask

SITE = "screening:1000:5000 director:1001:5000,5001 editor:1002:5000 intern:1003:5000 guest:1004:6000"


def create(environment: Mapping[str, str]) -> Flask:
    """Make the application; ValueError for an account that can't be read."""
    app = Flask("ids", static_folder=None)
    accounts = dict(map(_account, environment.get("ACCOUNTS", SITE).split()))

    @app.get("/ids/<user>")
    def account(user: str) -> tuple[dict[str, Any], HTTPStatus]:
        found = accounts.get(user)
        return (found, HTTPStatus.OK) if found else ({}, HTTPStatus.NOT_FOUND)

    return app


def application() -> Flask:
    """Make the application as gunicorn does: `studio.ids:application()`."""
    return create(os.environ)


def _account(text: str) -> tuple[str, dict[str, Any]]:
    user, uid, gids = text.split(":")
    return user, {"uid": int(uid), "gids": [int(gid) for gid in gids.split(",")]}
