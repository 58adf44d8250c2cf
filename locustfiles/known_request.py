"""Ask a service whose cost is known, again and again: for work (CPU) or for a wait (time).

locust -f known_request.py --host http://127.0.0.1:8000 --known-action work --known-wait 0.01
"""

from __future__ import annotations

from typing import Any

from locust import events, task

from seatrial.user import LeanUser


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    for name, default, text in (
        ("action", "work", "what to ask for: work or wait"),
        ("wait", 0.0, "seconds between two requests of a user"),
    ):
        variable = f"LOCUST_KNOWN_{name.upper()}"
        parser.add_argument(f"--known-{name}", type=type(default), default=default, env_var=variable, help=text)


class KnownRequest(LeanUser):
    """Asks for one thing, on one connection."""

    endpoints = ("work", "wait")

    def prepare(self) -> None:
        """Read the options."""
        options: Any = self.environment.parsed_options
        self._action: str = options.known_action
        self._wait_s: float = options.known_wait
        if self._action not in self.endpoints:
            self.refuse(
                "nothing that the service does was named",
                seen=repr(self._action),
                expected=" or ".join(self.endpoints),
                hint="--known-action work",
            )

    def wait_time(self) -> float:
        """Seconds between two requests."""
        return self._wait_s

    @task
    def ask(self) -> None:
        """Ask once."""
        self.client.get(f"/{self._action}", endpoint=self._action)
