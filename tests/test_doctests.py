"""The examples in docstrings."""

import doctest
import importlib
import pathlib

import pytest


ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): number
    for path in sorted((ROOT / "ntkjax").rglob("*.py"))
    if (number := path.read_text(encoding="utf-8").count(">>> "))
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_show_what_comes_back(name):
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted) == (0, EXAMPLES[name])
