import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from ntkjax.errors import InputError
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values


@dataclass(frozen=True)
class Part:
    value: float
    name: str | None


@dataclass(frozen=True, kw_only=True)
class Found:
    schema: int = 3
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    best: Part | None
    spans: tuple[tuple[int, float], ...]
    facts: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


FOUND = Found(
    parts=(Part(0.1 + 0.2, None), Part(1e-300, "é")),
    by_name={"a b": Part(2.0, "x")},
    best=None,
    spans=((1, 0.5), (2, 1.0)),
    facts={"rows": [{"n": 1}], "why": None},
)


def test_a_result_comes_back_as_it_was(tmp_path):
    for found in (FOUND, dataclasses.replace(FOUND, best=FOUND.parts[0])):
        write_result(tmp_path / "found.json", found)
        assert read_result(tmp_path / "found.json", Found) == found
    assert next(iter(json.loads((tmp_path / "found.json").read_text()))) == "schema"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "expected a result of schema 3, got schema 2"),
        ({"schema": None}, "expected a result of schema 3, got schema None"),
        ({"more": 1}, "has the unknown key 'more'"),
        ({"best": {"value": 1.0}}, "best lacks the key 'name'"),
        ({"by_name": {"a": 1}}, "by_name a must be a mapping, got 1"),
        ({"by_name": []}, "by_name must be a mapping, got []"),
        ({"spans": [[1]]}, "spans must have 2 values, got [1]"),
        ({"facts": "x" * 400}, "facts must be a mapping, got..."),
    ],
    ids=str,
)
def test_other_results_are_refused(tmp_path, changes, says):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(plain_values(FOUND) | changes))
    with pytest.raises(InputError) as caught:
        read_result(path, Found)
    assert str(caught.value) == (
        f"{path}: {says}; another version of ntkjax wrote it, or it was changed: run "
        "again into a new directory."
    )


@pytest.mark.parametrize("values", [None, [], {}])
def test_what_is_no_result_is_refused(values):
    with pytest.raises(TypeError, match="expected a result of schema 3, got schema No"):
        result_from(values, Found)
