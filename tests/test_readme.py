"""The README's code runs, its flags exist, and its numbers are those of the results."""

import pathlib
import re

import pytest

from benchmarks.readme import ROOT, rewritten
from ntkjax.cli.main import main


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_blocks_run():
    assert BLOCKS
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    assert names["kernel"].shape == (4, 9)
    assert names["short"].shape == (9, 3, 64)


def test_flags_exist(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fidelity", "--help"])
    assert stop.value.code == 0
    known = capsys.readouterr().out
    words = set(re.findall(r"--[a-z][a-z.-]+", README)) - {"--help", "--config"}
    unknown = {word for word in words if word not in known}
    assert unknown <= {"--isolated", "--python"}, unknown


def test_tables_are_those_of_the_results_files():
    assert rewritten(README) == README


def test_links_point_to_files():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (pathlib.Path(ROOT) / target).exists(), target
