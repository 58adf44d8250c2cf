"""Colours that people of every colour vision tell apart: those of Okabe and Ito (https://jfly.uni-koeln.de/color)."""

from __future__ import annotations

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
"""In place of their black, which a dark page swallows: 3.4 : 1 on white, 5 : 1 on the dark page."""

LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
"""In the order of use; yellow is left out, because a thin line of it can't be seen on white."""

DASHES = ("solid", "dashed", "dotted", "dotdash")
"""After all colours are used, they come again with the next dash."""


def line(index: int) -> tuple[str, str]:
    """Return colour and dash of the curve with this index; they repeat after 28."""
    return LINES[index % len(LINES)], DASHES[index // len(LINES) % len(DASHES)]
