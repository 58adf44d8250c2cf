"""The response of a request, as locustfiles import it."""

from seatrial.http.messages import Response

__all__ = ["Response"]
