"""The service of known cost has the costs that are set."""

import importlib
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "stacks" / "known"))
app = importlib.import_module("known.app")
costs = importlib.import_module("known.costs")
settings = importlib.import_module("known.settings")


def _client(clock_s: float = 10.0, slept: list[float] | None = None, **environment: str) -> FlaskClient:
    """Return a client of a service whose requests come at 10 s, and are looked at again at `clock_s`."""
    paid = costs.Costs(
        settings.from_environment(environment),
        clock_s=lambda: clock_s,
        sleep=(slept if slept is not None else []).append,
    )
    client: FlaskClient = app.create(paid, clock_s=lambda: 10.0).test_client()
    return client


def test_work_is_a_number_of_rounds() -> None:
    """The digest is that of all blocks, so that none was left out."""
    once, thrice = costs.work(1), costs.work(3)
    assert once == costs.hashlib.sha256(costs.BLOCK).hexdigest()
    assert thrice == costs.hashlib.sha256(costs.BLOCK * 3).hexdigest()
    assert _client(WORK_ROUNDS="3").get("/work").get_data(as_text=True) == thrice + "\n"


def test_a_block_keeps_the_lock_of_the_interpreter() -> None:
    """From 2,048 bytes on hashlib releases it (HASHLIB_GIL_MINSIZE), and each switch would be an unknown cost."""
    assert len(costs.BLOCK) == 1024


@pytest.mark.parametrize(("every", "failed"), [("0", []), ("3", [3, 6, 9]), ("1", list(range(1, 11)))])
def test_failures_come_by_count(every: str, failed: list[int]) -> None:
    """Each n-th request is a 500, and does no work."""
    client = _client(FAIL_EVERY=every)
    statuses = [client.get("/work").status_code for _ in range(10)]
    assert [number for number, status in enumerate(statuses, 1) if status == 500] == failed
    assert set(statuses) <= {200, 500}


def test_memory_is_held_and_leaks_as_set() -> None:
    """Held memory exists from the start, with every page written; leaked memory stays."""
    paid = costs.Costs(settings.from_environment({"HOLD_MIB": "1", "LEAK_KIB": "8"}))
    assert paid.memory_bytes == 1024 * 1024
    for _ in range(3):
        paid.work()
    assert paid.memory_bytes == 1024 * 1024 + 3 * 8 * 1024
    assert costs.held(3 * costs.PAGE_BYTES)[:: costs.PAGE_BYTES] == b"\1\1\1"


@pytest.mark.parametrize(("clock_s", "slept"), [(10.0, 0.02), (10.005, 0.015), (10.5, 0.0)])
def test_the_service_time_counts_from_the_arrival(clock_s: float, slept: float) -> None:
    """Time that Flask has used is not slept again; a request that is late already does not sleep."""
    pauses: list[float] = []
    assert _client(clock_s, pauses, SERVICE_MS="20").get("/wait").status_code == 200
    assert pauses == [pytest.approx(slept)]


@pytest.mark.parametrize("text", ["-1", "1.5", "two", "1e3", "²"])
def test_a_cost_that_is_no_count_is_refused(text: str) -> None:
    """A typing error would change the known truth; one that is not set, also as an empty text, is zero."""
    assert settings.from_environment({"HOLD_MIB": ""}) == settings.Settings()
    with pytest.raises(ValueError, match="WORK_ROUNDS"):
        settings.from_environment({"WORK_ROUNDS": text})
