"""Firefox's player (Gecko's ChannelMediaResource and MediaCache): 60 s ahead, again from 30 s, a large cache.

Sources: Gecko's `ChannelMediaResource.cpp` (requests, answers), `MediaCache.cpp` (seek or read), `StaticPrefList`
(`media.cache_readahead_limit` 60, `media.cache_resume_threshold` 30, `media.cache_size` 512,000 KiB).
"""

from __future__ import annotations

from typing import ClassVar

from _player import Player


class Firefox(Player):
    """Asks `bytes=N-`, from the start too; where a later byte is answered by a 200, it can't seek."""

    user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
    headers: ClassVar = {
        "Accept": "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
        "Accept-Language": "en-US,en;q=0.5",
        "Accept-Encoding": "identity",
        "Sec-Fetch-Dest": "video",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Site": "same-origin",
    }
    high_s = 60.0
    low_s = 30.0
    block_bytes = 32 * 1024
    skip_bytes = 32 * 1024  # MediaCache: SEEK_VS_READ_THRESHOLD
    keeps_behind_bytes = 512_000 * 1024
    retries = 1  # in a row without a byte: it reopens what was cut short
