"""What the rooms of the package are and import, from its code: `python -m docs.rooms`.

Draws `docs/rooms.svg`, and puts the tables of rooms into `docs/architecture.md`, each
room with the docstring of its `__init__.py`. Imports are read from the text: nothing
of the package is run. A test fails when page or picture differ from the code.
"""

import ast
import graphlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs.drawing import draw
from docs.placing import plan


ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ntkjax"
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "rooms.svg"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if not p.name.startswith("__"))

# A file may import its own folder and anything on a line above its own line.
LAYERS = (
    ("notation", "errors"),
    ("rules",),
    ("math",),
    ("store",),
    ("devices",),
    ("data",),
    ("models",),
    ("checkpoints",),
    ("outputs",),
    ("gradients",),
    ("kernels",),
    ("passes",),
    ("training",),
    ("fidelity",),
    ("evaluation",),
    ("selection",),
    ("reports",),
    ("settings",),
    ("runs",),
    ("commands",),
    ("cli",),
)

COMMANDS = "commands"

Uses = Mapping[str, set[str]]
"""Box ↦ the boxes that its files import."""

_MARK = re.compile(r"<!-- (rooms|commands) -->\n.*?<!-- end -->\n", re.DOTALL)


def main() -> None:
    """Writes page and picture."""
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")


def imports_of(path: Path) -> set[str]:
    """Modules and names of the package that a file imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write absolute imports"
            names.add(str(node.module))
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("ntkjax.")}


def name_of(path: Path) -> str:
    """The module's name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def rooms() -> list[str]:
    """The folders of the package, from the ground up."""
    return [name for row in LAYERS for name in row if (PACKAGE / name).is_dir()]


def commands() -> list[str]:
    """The folders of the commands, such as `commands/select`."""
    inits = sorted((PACKAGE / COMMANDS).glob("*/__init__.py"))
    return [f"{COMMANDS}/{init.parent.name}" for init in inits]


def sentence(room: str) -> str:
    """What a room says of itself."""
    text = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(text)) or ""


def uses(boxes: Sequence[str]) -> Uses:
    """The others that each box imports, but for what follows from other arrows."""

    def box_of(name: str) -> str | None:
        path = f"{name}.".removeprefix("ntkjax.").replace(".", "/")
        return next((box for box in boxes if path.startswith(f"{box}/")), None)

    everything: dict[str, set[str]] = {box: set() for box in boxes}
    for path in FILES:
        here = box_of(name_of(path))
        found = {box_of(name) for name in imports_of(path)} - {here, None}
        if here is not None:
            everything[here] |= {box for box in found if box is not None}

    def below(box: str) -> set[str]:
        return everything[box].union(*map(below, everything[box]))

    return {
        box: everything[box].difference(*map(below, everything[box])) for box in boxes
    }


def levels(uses: Uses) -> dict[str, int]:
    """Rows of the boxes, from 0: each above what it imports.

    A box that more others import than it imports itself stands as high as they let it.
    """
    order = tuple(graphlib.TopologicalSorter(uses).static_order())
    level: dict[str, int] = {}
    for box in order:
        level[box] = max((level[other] + 1 for other in uses[box]), default=0)
    for box in reversed(order):
        users = [level[other] for other in uses if box in uses[other]]
        if len(users) > len(uses[box]):
            level[box] = min(users) - 1
    return level


def filled_up(level: Mapping[str, int], uses: Uses) -> dict[str, int]:
    """The same with boxes that have no arrow where there are fewest, by name."""
    tied = {box for box in uses if uses[box]}.union(*uses.values())
    found = {box: row for box, row in level.items() if box in tied}
    for box in sorted(level.keys() - tied):
        rows = [*found.values()]
        found[box] = min(range(max(level.values()) + 1), key=rows.count)
    return found


def picture() -> str:
    """The rooms, each above what it imports."""
    outer, inner = uses(rooms()), uses(commands())
    level, inside = levels(outer), filled_up(levels(inner), inner)
    floor, more = level[COMMANDS], max(inside.values())
    level = {box: row + more * (row > floor) for box, row in level.items()}
    level |= {box: floor + row for box, row in inside.items()}
    arrows = [
        (box, other)
        for found in (outer, inner)
        for box in found
        for other in found[box]
    ]
    says = {box: f"{box}: {sentence(box)}" for box in level}
    return draw(
        plan(level, arrows, COMMANDS),
        says,
        title="The rooms of ntkjax: arrows point from each to those that it imports.",
        notes=(
            "commands: a room for each",
            "errors.py, notation.py, rules.py: open to all",
        ),
    )


def table(boxes: Sequence[str]) -> str:
    """A row for each room: what it says of itself."""
    rows = [f"| [`{box}`](../ntkjax/{box}) | {sentence(box)} |" for box in boxes]
    return "\n".join(["| room | what is in it |", "|---|---|", *rows])


def rewritten(text: str) -> str:
    """The page with its tables made anew."""
    tables = {"rooms": table(rooms()), "commands": table(commands())}

    def marked(match: re.Match) -> str:
        return f"<!-- {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->\n"

    return _MARK.sub(marked, text)


if __name__ == "__main__":
    main()
