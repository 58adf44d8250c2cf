"""What gunicorn loads: the application with the real key, users and store."""

from __future__ import annotations

import os
import time

import bcrypt

from auth import app, users
from auth.refresh import RefreshTokens, opener
from auth.settings import from_environment
from auth.signing import Signer
from auth.tokens import TokenService

_settings = from_environment(os.environ)

application = app.create(
    TokenService(
        settings=_settings,
        users=users.load(_settings.users_file, matches=bcrypt.checkpw),
        refresh=RefreshTokens(
            opener(_settings.redis_url, connections=_settings.redis_connections),
            life_s=_settings.refresh_expires_in_s,
        ),
        sign=Signer(_settings.key_file, _settings.certificate_file).sign,
        now_s=time.time,
    )
)
