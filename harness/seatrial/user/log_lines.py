"""What Locust writes into its log under the harness: each traceback of a task once, and no secrets of URLs.

Locust names requests after their URLs in its summary, and has a traceback for every exception in a task.
"""

from __future__ import annotations

import logging
import traceback

from seatrial.user.mistakes import DISTINCT_LIMIT
from seatrial.wire.redaction import masked

_LOGGERS = ("", "locust", "locust.stats_logger")
"""Those to which `locust.log.setup_logging` gives handlers."""
_TASKS = "locust.user.task"


def tidy() -> None:
    """Install both filters in this process, whose log has been set up."""
    logging.getLogger(_TASKS).addFilter(Distinct())
    for handler in {handler for name in _LOGGERS for handler in logging.getLogger(name).handlers}:
        handler.addFilter(Masked())


class Distinct(logging.Filter):
    """Lets each message pass once, and so many of them; that they were more, the count of errors tells."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is new."""
        text = record.getMessage()
        if text in self._told or len(self._told) >= DISTINCT_LIMIT:
            return False
        self._told.add(text)
        return True


class Masked(logging.Filter):
    """Takes secrets out of messages and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let it pass."""
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info:
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True
