"""Drawing with matplotlib, without pyplot, into SVG that fits into an HTML page.

Figures are drawn in one ink color, which becomes `currentColor`, on no background: they
follow the light or dark scheme of the page. Text stays text. The same input gives the
same bytes.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure


INK = "#010203"
"""Stands for the text color of the page; used for nothing else."""

# Okabe and Ito's palette for color-blind readers; these four also show on dark pages.
BLUE, ORANGE, GREEN, PURPLE = "#3a8fce", "#e08a00", "#009e73", "#cc79a7"

STYLE = {
    "font.family": ["sans-serif"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
}


def draw(
    width: float, height: float, paint: Callable[[Axes], None], description: str
) -> str:
    """An `<svg>` element for an HTML page, of one pair of axes painted by `paint`.

    Args:
        width: In inches; a page may scale the picture.
        height: In inches.
        paint: Draws on the axes.
        description: What a reader who cannot see the picture is told; plain text.
    """
    # Ids are hashes; the salt keeps those of two figures on a page apart.
    settings: dict[Any, Any] = {**STYLE, "svg.hashsalt": description}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    return _for_html(buffer.getvalue(), description)


def _for_html(svg: str, description: str) -> str:
    """`svg` without what HTML does not need: prolog, namespaces, ids of groups."""
    element = svg[svg.index("<svg") :].strip()
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    element = element.replace(INK, "currentColor")
    label = description.translate(
        {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
    )
    return element.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
