"""Boxes in rows, arrows down between them, and where everything finds its place.

Places within rows are found by trying: each item goes to its best place in turn, until
nothing gets better. All numbers are whole: the same boxes, the same places.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass


WIDTH, MARGIN, GAP, STEP = 464, 16, 12, 8
"""Of the sheet in pixels, of its sides, between items, and between places to try. A
phone shows the sheet a quarter smaller, a larger window as it is."""

_OVERLAP, _CROSSING = 10_000, 8_000
"""What a pixel of overlap and a crossing cost; a slanted arrow costs its width²."""

_STARTS = 5
"""Orders to start from; the one that ends best is taken."""

Bend = tuple[str, str, int]
"""Where an arrow passes a row between its ends: from, to, row."""

Item = str | Bend


@dataclass(frozen=True)
class Plan:
    """Boxes in rows, and the arrows between them, cut at every row.

    Attributes:
        rows: From the lowest to the highest: boxes and bends.
        paths: For each arrow its box, its bends, and the box that it points to.
        frame: A box as wide as the sheet, around those named `FRAME/...`. It is an item
            of the lowest row of these, as arrows leave it below.
        callers: Boxes with an arrow to the frame; these arrows are in no path.
    """

    rows: tuple[tuple[Item, ...], ...]
    paths: tuple[tuple[Item, ...], ...]
    frame: str
    callers: tuple[str, ...]

    @property
    def links(self) -> list[list[tuple[Item, Item]]]:
        """For each row the pieces of arrows that begin there: upper and lower item."""
        pieces = [link for path in self.paths for link in itertools.pairwise(path)]
        return [[link for link in pieces if link[0] in row] for row in self.rows]


def plan(
    level: Mapping[str, int], arrows: Collection[tuple[str, str]], frame: str
) -> Plan:
    """The plan of boxes at these levels, from 0; every arrow goes down."""
    rows: list[list[Item]] = [[] for _ in range(max(level.values()) + 1)]
    for name in sorted(level):
        rows[level[name]].append(name)
    paths = []
    for upper, lower in sorted(arrow for arrow in arrows if arrow[1] != frame):
        bends = [(upper, lower, r) for r in range(level[upper] - 1, level[lower], -1)]
        for bend in bends:
            rows[bend[2]].append(bend)
        paths.append((upper, *bends, lower))
    callers = [upper for upper, lower in sorted(arrows) if lower == frame]
    return Plan(tuple(map(tuple, rows)), tuple(paths), frame, tuple(callers))


def name_in(box: str) -> str:
    """What stands in a box: `select` in `commands/select`."""
    return box.rpartition("/")[2]


def width_of(item: Item) -> int:
    """Of a box with its name in it, or of an arrow that passes."""
    return 8 * len(name_in(item)) + 20 if isinstance(item, str) else 8


def places(plan: Plan) -> dict[Item, int]:
    """The middle of every item: nothing overlaps, arrows are short and cross little."""
    found = [_Places(plan, start) for start in range(_STARTS)]
    for each in found:
        each.settle()
    best = min(found, key=_Places.cost)
    return {**best.x, plan.frame: WIDTH // 2}


class _Places:
    """Where the items of a plan stand, and what could be better about it."""

    def __init__(self, plan: Plan, start: int):
        """Spreads each row evenly, each start in another order."""
        self._frame, self._links = plan.frame, plan.links
        self._rows = [[item for item in row if item != plan.frame] for row in plan.rows]
        self.x: dict[Item, int] = {}
        for r, row in enumerate(self._rows):
            for number, item in enumerate(row):
                place = (number + start * r) % len(row)
                self.x[item] = (2 * place + 1) * WIDTH // (2 * len(row))

    def settle(self) -> None:
        """Moves items as long as that makes anything better."""
        items = [(r, item) for r, row in enumerate(self._rows) for item in row]
        while any([self._improve(r, item) for r, item in items]):
            pass

    def cost(self) -> int:
        """Of all rows."""
        rows = range(len(self._rows))
        return sum(self._overlaps(r) + self._slants(r) for r in rows)

    def _improve(self, r: int, item: Item) -> bool:
        """Moves an item to where it costs least; whether that is elsewhere."""
        is_better, least = False, self._cost_around(r)
        for move in list(self._moves(self._rows[r], item)):
            before = {moved: self.x[moved] for moved in move}
            self.x.update(move)
            if (found := self._cost_around(r)) < least:
                is_better, least = True, found
            else:
                self.x.update(before)
        return is_better

    def _moves(self, row: Sequence[Item], item: Item) -> Iterator[dict[Item, int]]:
        """Everywhere in the row, and to change places with another one."""
        side = 2 * MARGIN
        half = width_of(item) // 2
        yield from (
            {item: at} for at in range(side + half, WIDTH - side - half + 1, STEP)
        )
        for one in row:
            if one != item:
                yield {item: self.x[one], one: self.x[item]}

    def _cost_around(self, r: int) -> int:
        above = self._slants(r + 1) if r + 1 < len(self._rows) else 0
        return self._overlaps(r) + self._slants(r) + above

    def _overlaps(self, r: int) -> int:
        """Pixels by which items of the row overlap, or stand out of the sheet."""
        total = 0
        for a, b in itertools.combinations(self._rows[r], 2):
            apart = abs(self.x[a] - self.x[b])
            total += max(0, (width_of(a) + width_of(b)) // 2 + GAP - apart)
        for item in self._rows[r]:
            off = abs(self.x[item] - WIDTH // 2)
            total += max(0, off + width_of(item) // 2 + 2 * MARGIN - WIDTH // 2)
        return _OVERLAP * total

    def _slants(self, r: int) -> int:
        """Of the arrows that begin in the row; those of the frame begin anywhere."""
        x = self.x
        ends = [(x[b] if a == self._frame else x[a], x[b]) for a, b in self._links[r]]
        crossings = 0
        for (a, b), (c, d) in itertools.combinations(ends, 2):
            crossings += (a - c) * (b - d) < 0
        return _CROSSING * crossings + sum((a - b) ** 2 for a, b in ends)
