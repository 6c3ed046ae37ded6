import ast
import re

from docs.rooms import (
    PAGE,
    PICTURE,
    filled_up,
    levels,
    picture,
    rewritten,
    rooms,
    uses,
)
from ntkjax.data.world import make_world
from tests.test_layout import IMPORTS


RENEW = "differs from the code; renew it: uv run python -m docs.rooms"


def test_picture_and_tables_are_those_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert page == rewritten(page), f"{PAGE.name} {RENEW}"
    assert PICTURE.read_text(encoding="utf-8") == picture(), f"{PICTURE.name} {RENEW}"


def test_names_on_the_page_are_defined_where_they_link_to():
    links = re.findall(r"\[`(\w+)`\]\(([^)]*\.py)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) > 30
    for name, path in links:
        text = (PAGE.parent / path).read_text(encoding="utf-8")
        assert name in set(defined_in(ast.parse(text))), f"{name} in {path}"


def defined_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def test_the_example_on_the_page_is_one_of_the_world():
    (line,) = re.findall(r"```json\n(.*)\n```", PAGE.read_text(encoding="utf-8"))
    assert ast.literal_eval(line) == make_world(0).pool[6]


def test_arrows_say_all_that_is_imported_and_no_more():
    arrows = uses(rooms())
    imported = {
        (name.split(".")[1], other.split(".")[1])
        for name, found in IMPORTS.items()
        for other in found
    }
    said = {(room, other) for room in arrows for other in arrows[room]}
    assert said <= imported
    for room, other in imported:
        if room in arrows and other in arrows:
            assert room == other or leads(arrows, room, other)
    for room, other in said:
        without = {**arrows, room: arrows[room] - {other}}
        assert not leads(without, room, other)


def leads(arrows, room, other):
    return any(
        step == other or leads(arrows, step, other) for step in arrows.get(room, ())
    )


def test_boxes_stand_above_what_they_import():
    arrows = {"a": {"b", "c"}, "b": {"d"}, "c": set(), "d": set(), "e": {"c"}}
    assert levels(arrows) == {"a": 2, "b": 1, "d": 0, "c": 0, "e": 1}
    assert levels({**arrows, "e": {"b", "c"}})["c"] == 1  # as high as they let it


def test_boxes_without_arrows_fill_the_rows_up():
    arrows = {"a": {"b"}, "b": set(), "x": set(), "y": set(), "z": set()}
    found = filled_up(levels(arrows), arrows)
    assert found == {"a": 1, "b": 0, "x": 0, "y": 1, "z": 0}
