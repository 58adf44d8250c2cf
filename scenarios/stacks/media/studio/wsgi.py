"""What uWSGI and gunicorn load: the media service with the real cache and the real services behind it."""

from __future__ import annotations

import os

from studio import answers, app, delivery
from studio.access import Access
from studio.addresses import Proxies
from studio.cache import RedisStore
from studio.settings import from_environment

_settings = from_environment(os.environ)

application = app.create(
    _settings,
    Access(
        _settings.root,
        answers.Answers(RedisStore(_settings.redis_url), answers.ask, _settings.cache_s).get,
        assets_url=_settings.assets_url,
        ids_url=_settings.ids_url,
    ),
    delivery.Delivery(_settings.delivery, delivery.mime_types(_settings.mime_types)),
    Proxies(_settings.proxies),
)
