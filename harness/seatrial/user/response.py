"""The response of a request and a streamed one, as locustfiles import them."""

from seatrial.http.messages import Response
from seatrial.http.stream import Stream

__all__ = ["Response", "Stream"]
