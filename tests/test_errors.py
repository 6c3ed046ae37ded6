import ast
import pathlib

import pytest

from ntkjax import InputError
from ntkjax.errors import InputError as defined


PACKAGE = pathlib.Path(__file__).parents[1] / "ntkjax"


def test_it_is_public_and_a_value_error():
    assert InputError is defined
    assert issubclass(InputError, ValueError)
    with pytest.raises(ValueError, match=r"^data\.jsonl:3: no response$"):
        raise InputError("data.jsonl:3: no response")


def raised_input_errors():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_message_is_one_argument_and_one_line():
    """The command line prints it as one line on standard error."""
    found = dict(raised_input_errors())
    assert len(found) > 30
    for place, call in found.items():
        assert len(call.args) == 1, place
        assert not call.keywords, place
        texts = [n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant)]
        assert not any("\n" in text for text in texts if isinstance(text, str)), place
