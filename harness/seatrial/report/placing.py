"""The order of services in every form of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seatrial.judge.memory import ServiceUse
from seatrial.judge.validity import RESERVED
from seatrial.report.contents import Placed

_PLACES = ("proxy", "app", "store")


def placed(used: Sequence[ServiceUse], tiers: Mapping[str, Any]) -> tuple[Placed, ...]:
    """Order the services along the request's way, the stack's others after them, what is not the stack last."""
    places = {name: tier.get("place", "") if isinstance(tier, Mapping) else tier for name, tier in tiers.items()}
    order = list(places)

    def rank(one: Placed) -> tuple[int, int, str]:
        name = one.use.service
        if name in RESERVED:
            return (len(_PLACES) + 1, ("generator", "host", "sampler").index(name), "")
        where = _PLACES.index(one.place) if one.place in _PLACES else len(_PLACES)
        return (where, order.index(name) if name in order else len(order), name)

    return tuple(sorted((Placed(place=places.get(use.service, ""), use=use) for use in used), key=rank))
