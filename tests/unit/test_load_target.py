"""Where load may go."""

import pytest

from seatrial.errors import UsageError
from seatrial.load import driver


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:5000", "http://localhost", "http://[::1]:80", "http://172.18.0.4"]
)
def test_loopback_and_the_stacks_own_addresses_are_loaded(url: str) -> None:
    """What cannot be somebody else's needs no permission."""
    driver.check_target(url, driver.allowed_hosts(stack=("172.18.0.4",), allowed=(), confirmed=()))


@pytest.mark.parametrize(
    ("allowed", "confirmed"), [((), ()), (("staging.example",), ()), ((), ("staging.example",))]
)
def test_another_host_has_to_be_named_twice(allowed: tuple[str, ...], confirmed: tuple[str, ...]) -> None:
    """The scenario alone is not enough, and neither is the command line."""
    with pytest.raises(UsageError, match=r"load is not sent to staging\.example"):
        driver.check_target(
            "http://staging.example/",
            driver.allowed_hosts(stack=("172.18.0.4",), allowed=allowed, confirmed=confirmed),
        )


def test_a_host_that_is_allowed_and_confirmed_is_loaded() -> None:
    """Both names together are a decision."""
    named = ("staging.example",)
    driver.check_target(
        "https://staging.example/v2/", driver.allowed_hosts(stack=(), allowed=named, confirmed=named)
    )


def test_a_name_that_only_begins_like_loopback_is_refused() -> None:
    """127.0.0.1.example is a name that anybody can register."""
    with pytest.raises(UsageError):
        driver.check_target("http://127.0.0.1.example/", ())
