from dataclasses import dataclass
from pathlib import Path

import pytest
import tyro
from etils import epath

from ntkjax.settings.run_path_flag import RunPathFlag


@dataclass(frozen=True)
class Settings:
    out: RunPathFlag
    stages: RunPathFlag | None = None


def parse(*words) -> Settings:
    return tyro.cli(Settings, args=words)


@pytest.mark.parametrize("text", ["runs/a", "gs://bucket/runs/a"])
def test_both_kinds(text):
    found = parse("--out", text, "--stages", f"{text}/stages")
    assert str(found.out) == text
    assert str(found.stages) == f"{text}/stages"
    kind = epath.Path if "://" in text else Path
    assert isinstance(found.out, kind)
    assert isinstance(found.stages, kind)


def test_the_default_is_kept():
    assert parse("--out", "a") == Settings(Path("a"))
    assert parse("--out", "a", "--stages", "None") == Settings(Path("a"))


def test_help(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "--out PATH" in shown


def test_another_scheme(capsys):
    with pytest.raises(SystemExit):
        parse("--out", "ftp://host/x")
    assert "ftp://host/x" in capsys.readouterr().err
