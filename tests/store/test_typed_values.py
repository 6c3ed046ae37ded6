from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from ntkjax.store.run_directory import plain_values
from ntkjax.store.run_path import RunPath, run_path
from ntkjax.store.typed_values import typed_fields, typed_value


@dataclass(frozen=True)
class Inner:
    rank: int | None = None
    targets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Settings:
    model: str
    rate: float = 0.5
    shuffle: bool = True
    out: Path | None = None
    files: tuple[Path, ...] = ()
    run: Annotated[RunPath, "a flag"] = Path("run")
    stages: Annotated[RunPath, "a flag"] | None = None
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    "settings",
    [
        Settings("a"),
        Settings("b", 1e-5, False, Path("x"), (Path("y"), Path("/z"))),
        Settings("c", inner=Inner(3, ("q", "k"))),
        Settings("d", run=run_path("gs://b/x"), stages=run_path("gs://b/y")),
        Settings("e", run=Path("x"), stages=Path("y")),
    ],
    ids=["defaults", "flat", "nested", "remote", "local"],
)
def test_plain_values_come_back(settings):
    assert Settings(**typed_fields(plain_values(settings), Settings)) == settings


def test_only_what_is_there():
    assert typed_fields({"rate": 2}, Settings) == {"rate": 2.0}
    assert type(typed_value(2, float)) is float
    assert typed_value("a", tuple[str, ...]) == ("a",)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (None, "must be a mapping, got None"),
        ({"modle": "a"}, "has the unknown key 'modle'"),
        ({"rate": "fast"}, "rate must be of type float, got 'fast'"),
        ({"shuffle": 1}, "shuffle must be of type bool, got 1"),
        ({"files": [1]}, "files must be of type Path, got 1"),
        ({"run": 1}, "run must be of type Path, got 1"),
        (
            {"stages": "s3://x/y"},
            "stages is s3://x/y: cannot be written; expected a local folder or "
            "gs://BUCKET/FOLDER",
        ),
        ({"inner": {"rank": "x"}}, "inner rank must be of type int, got 'x'"),
        ({"inner": None}, "inner must be a mapping, got None"),
    ],
    ids=str,
)
def test_other_values_are_named(values, says):
    with pytest.raises(TypeError) as caught:
        typed_fields(values, Settings)
    assert str(caught.value) == says
