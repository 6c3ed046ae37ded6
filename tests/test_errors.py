import ast
import pathlib
import re

import pytest

from ntkjax import InputError
from ntkjax.errors import InputError as defined, setting


PACKAGE = pathlib.Path(__file__).parents[1] / "ntkjax"

SPEAKS_OF_FLAGS = re.compile(r"cli/.*|commands/\w+/show\.py|commands/plan/changes\.py")
"""The command line; what to type so that a plan fits."""


def test_it_is_public_and_a_value_error():
    assert InputError is defined
    assert issubclass(InputError, ValueError)
    with pytest.raises(ValueError, match=r"^data\.jsonl:3: no response$"):
        raise InputError("data.jsonl:3: no response")


@pytest.mark.parametrize(
    ("error", "plain", "told"),
    [
        (InputError("no field."), "no field.", "no field."),
        (InputError("why.", field="lora.rank"), "lora.rank: why.", "LORA.RANK: why."),
        (InputError("why.", field="num", value=0), "num 0: why.", "NUM 0: why."),
        (InputError("why.", field="date", value=""), "date : why.", "DATE : why."),
        (
            InputError(f"1 to {setting('num')} ({3}).", field="top", value="num"),
            "top num: 1 to num (3).",
            "TOP num: 1 to NUM (3).",
        ),
    ],
)
def test_a_line_for_those_who_set_fields_and_one_for_others(error, plain, told):
    assert str(error) == plain
    assert error.told(str.upper) == told
    assert InputError(error.message, field="a").told(str.upper).startswith("A: ")


def input_errors():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def texts_of(node):
    constants = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def test_every_message_is_one_argument_and_one_line():
    """The command line prints it as one line on standard error."""
    found = dict(input_errors())
    assert len(found) > 30
    for place, call in found.items():
        assert len(call.args) == 1, place
        assert {word.arg for word in call.keywords} <= {"field", "value"}, place
        assert not any("\n" in text for text in texts_of(call)), place


def test_only_the_command_line_speaks_of_flags():
    """Docstrings may: those of settings are the help of commands."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if SPEAKS_OF_FLAGS.fullmatch(name):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            text
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
            for text in texts_of(node.value)
            if isinstance(node.value, ast.Constant)
        }
        said = [t for t in texts_of(tree) if re.search(r"(^|\W)--[a-z]", t)]
        found += [(name, text) for text in said if text not in prose]
    assert not found
