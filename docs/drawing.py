"""The SVG text of boxes in rows and the arrows down between them.

Light and dark follow the reader's scheme; text stays text.
"""

import itertools
from collections.abc import Iterator, Mapping
from html import escape

from docs.placing import MARGIN, WIDTH, Item, Plan, name_in, places, width_of


ROW, BOX, LABEL = 68, 28, 20
"""Heights: of a row, of a box in it, of the frame's note."""

_STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  text-anchor: middle; dominant-baseline: central; fill: #1c2430; }
.note { font: 12px system-ui, sans-serif; fill: #4b5768; }
.sheet { fill: #ffffff; stroke: #d5dbe3; }
.frame { fill: #f3f6fa; stroke: #b7c1ce; }
.box { fill: #e4edf8; stroke: #6d8fb8; }
.arrow { fill: none; stroke: #66758a; stroke-width: 1.3; marker-end: url(#head); }
#head { fill: #66758a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6ebf2; }
  .note { fill: #aab6c5; }
  .sheet { fill: #12171e; stroke: #36414e; }
  .frame { fill: #1a222c; stroke: #4a586a; }
  .box { fill: #223448; stroke: #6d8fb8; }
  .arrow { stroke: #8b9aae; }
  #head { fill: #8b9aae; }
}
"""


def draw(
    plan: Plan, says: Mapping[str, str], *, title: str, notes: tuple[str, str]
) -> str:
    """The sheet.

    Args:
        plan: What is on it.
        says: What a box shows when it is pointed at.
        title: For those who do not see the picture.
        notes: What stands in the frame above its boxes, and in the box below all.
    """
    inside = [
        r
        for r, row in enumerate(plan.rows)
        if any(str(item).startswith(f"{plan.frame}/") for item in row)
    ]

    def middle(row: int) -> int:
        above = ROW * (len(plan.rows) - 1 - row) + LABEL * (row <= inside[-1])
        return MARGIN + BOX // 2 + above

    x = places(plan)
    y = {item: middle(r) for r, row in enumerate(plan.rows) for item in row}
    roof, floor = middle(inside[-1]) - BOX - LABEL, middle(inside[0]) + BOX
    ground = middle(0) + 3 * MARGIN
    height = ground + BOX // 2 + MARGIN
    center, inner = WIDTH // 2, WIDTH - 2 * MARGIN
    boxes = [item for item in y if isinstance(item, str) and item != plan.frame]
    y[plan.frame] = floor - BOX // 2
    curves = [
        *_curves(plan, x, y),
        *(f"M{x[box]} {y[box] + BOX // 2}V{roof}" for box in plan.callers),
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" '
        f'height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_in_words(plan))}</desc>",
        f"<style>{_STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.5 8 4 0 7.5z"/></marker>',
        _rect("sheet", center, height // 2, WIDTH - 2, height - 2),
        _rect("frame", center, (roof + floor) // 2, inner, floor - roof),
        _text("note", center, roof + LABEL // 2 + 4, notes[0]),
        _rect("frame", center, ground, inner, BOX),
        _text("note", center, ground, notes[1]),
        *(f'<path class="arrow" d="{curve}"/>' for curve in curves),
    ]
    for box in sorted(boxes, key=lambda box: (y[box], x[box])):
        shape = _rect("box", x[box], y[box], width_of(box), BOX)
        text = _text("name", x[box], y[box], name_in(box))
        parts.append(f"<g><title>{escape(says[box])}</title>{shape}{text}</g>")
    return "\n".join([*parts, "</svg>", ""])


def _in_words(plan: Plan) -> str:
    """The arrows, for those who do not see them."""
    ends = [(path[0], path[-1]) for path in plan.paths]
    ends += [(box, plan.frame) for box in plan.callers]
    return "; ".join(f"{upper} to {lower}" for upper, lower in ends)


def _curves(plan: Plan, x: Mapping[Item, int], y: Mapping[Item, int]) -> Iterator[str]:
    """The arrows: curves between rows, straight through them."""
    ports = _ports(plan, x)
    for path in plan.paths:
        curve = ""
        for upper, lower in itertools.pairwise(path):
            right = x[lower] + ports[lower, upper]
            left = right if upper == plan.frame else x[upper] + ports[upper, lower]
            start, end = y[upper] + BOX // 2, y[lower] - BOX // 2
            between = (start + end) // 2
            curve += f"V{start}" if curve else f"M{left} {start}"
            curve += f"C{left} {between} {right} {between} {right} {end}"
        yield curve


def _ports(plan: Plan, x: Mapping[Item, int]) -> dict[tuple[Item, Item], int]:
    """How far from the middle of an item the arrow from or to another one meets it."""
    links = [link for row in plan.links for link in row]
    found = {}
    for side in (links, [(lower, upper) for upper, lower in links]):
        for item in {item for item, _ in side}:
            others = sorted((o for i, o in side if i == item), key=x.__getitem__)
            for number, other in enumerate(others):
                found[item, other] = 6 * (2 * number + 1 - len(others))
    return found


def _rect(kind: str, x: int, y: int, width: int, height: int) -> str:
    return (
        f'<rect class="{kind}" x="{x - width // 2}" y="{y - height // 2}" '
        f'width="{width}" height="{height}" rx="6"/>'
    )


def _text(kind: str, x: int, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
