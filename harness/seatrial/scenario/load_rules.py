"""Checks of `load` beyond the grammar, and its values as model.Load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seatrial.model import Load
from seatrial.scenario.grammar import POOL_USERS, LoadText, RateFile, StableText
from seatrial.scenario.problems import Problem
from seatrial.wire import rates
from seatrial.wire.rates import Rate, Stretch


def load_meaning(text: LoadText, locustfile: Path, folder: Path) -> Load:
    """Return the load; a rate's file is in `folder`."""
    warmup = text.warmup
    return Load(
        locustfile=locustfile,
        user_classes=text.user_classes,
        users=text.users,
        rate=_rate(text, folder),
        warmup_s=warmup.at_most if isinstance(warmup, StableText) else warmup,
        stable=isinstance(warmup, StableText),
        duration_s=text.duration,
        drain_s=text.drain,
        processes=text.processes,
        pinning=text.pinning,
        parameters=text.parameters,
    )


def load_problems(load: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Yield what is wrong between the keys of `load`, or with a rate's file, as far as its values can be read."""
    if "arrivals" in load and "rate" not in load:
        yield Problem(("load", "arrivals"), "load.arrivals is the spacing of a rate, but there is no load.rate")
    users, processes = load.get("users", POOL_USERS if "rate" in load else None), load.get("processes")
    if isinstance(users, int) and isinstance(processes, int) and 1 <= users < processes:
        text = f"load.processes is {processes}, but there are only {users} users: each process needs one"
        yield Problem(("load", "processes"), text, f"users: {processes}, or more")
    rate = load.get("rate")
    file = rate.get("file") if isinstance(rate, dict) else None
    if isinstance(file, str) and file:
        yield from (Problem(("load", "rate", "file"), text) for text in _of_file(folder / file, file))


def _of_file(path: Path, name: str) -> Iterator[str]:
    try:
        _steps(path)
    except FileNotFoundError:
        yield f"there is no file {name!r} beside the scenario"
    except OSError as error:
        yield f"{name!r} can't be read: {error.strerror}"
    except UnicodeDecodeError:
        yield f"{name!r} is not text"
    except ValueError as error:
        yield f"{name!r} is no schedule of rates: {error}"


def _steps(path: Path) -> tuple[Stretch, ...]:
    with path.open(encoding=rates.ENCODING, newline="") as lines:
        return rates.parse_lines(lines)


def _rate(text: LoadText, folder: Path) -> Rate | None:
    poisson = text.arrivals == "poisson"
    match text.rate:
        case None:
            return None
        case RateFile():
            return Rate(_steps(folder / text.rate.file), poisson)
        case str():
            return Rate(rates.parse(text.rate), poisson)
        case _:
            return Rate(rates.parse(", ".join(text.rate)), poisson)
