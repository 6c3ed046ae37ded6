"""Standalone SVG files: the style of the reports on a white background."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ntkjax.reports.svg import BLUE, GREEN, ORANGE, PURPLE, STYLE


COLORS = (BLUE, ORANGE, GREEN, PURPLE)
"""Okabe and Ito's, told apart by color-blind readers; markers differ as well."""

MARKERS = ("o", "s", "^", "D")


def draw_svg(
    width: float, height: float, name: str, paint: Callable[[Figure], None]
) -> str:
    """A figure of `width` × `height` inches; the same input gives the same text."""
    settings: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor="white", metadata=empty)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
