from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.errors import InputError
from ntkjax.settings.config_file import read_config_file
from ntkjax.settings.devices import DeviceOptions


@dataclass(frozen=True)
class Inner:
    rank: int | None = None
    alpha: float | None = None
    targets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Settings:
    model: str
    num_queries: int = 1
    rate: float = 0.5
    shuffle: bool = True
    out: Path | None = None
    kernels: tuple[str, ...] = ("exact",)
    lora: Inner = field(default_factory=Inner)


def read(tmp_path, text: str | bytes) -> dict:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config_file(path, Settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("num-queries: 3", {"num_queries": 3}),
        ("num_queries: 3", {"num_queries": 3}),
        ("rate: 2", {"rate": 2.0}),  # an integer is a float, as on the command line
        ("shuffle: no", {"shuffle": False}),
        ("out: runs/a", {"out": Path("runs/a")}),
        ("out: null", {"out": None}),
        ("model: 2024-07-26", {"model": "2024-07-26"}),  # YAML takes it for a date
        ("kernels: [summed, random_1]", {"kernels": ("summed", "random_1")}),
        ("kernels: summed", {"kernels": ("summed",)}),
        ("kernels: []", {"kernels": ()}),
        (
            "lora:\n  rank: 4\n  targets: [q_proj]\n",
            {"lora": Inner(rank=4, targets=("q_proj",))},
        ),
        ("lora: {alpha: 3}", {"lora": Inner(alpha=3.0)}),
    ],
)
def test_values(tmp_path, text, expected):
    found = read(tmp_path, text)
    assert found == expected
    for name, value in expected.items():
        assert type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("model: a\nnum-querys: 3\n", 2, "unknown key 'num-querys'; known: model, num"),
        (
            "lora:\n  rank: 1\n  ranks: 2\n",
            3,
            "unknown key 'ranks'; known: rank, alpha",
        ),
        ("num-queries: three", 1, "num-queries must be of type int, got 'three'"),
        ("\nnum-queries: true", 2, "num-queries must be of type int, got True"),
        ("num-queries: 1.5", 1, "num-queries must be of type int, got 1.5"),
        ("num-queries: null", 1, "num-queries must be of type int, got None"),
        ("num-queries: [1]", 1, r"num-queries must be of type int, got \[1\]"),
        ("rate: fast", 1, "rate must be of type float, got 'fast'"),
        ("shuffle: 1", 1, "shuffle must be of type bool, got 1"),
        ("out: 5", 1, "out must be of type Path, got 5"),
        ("kernels: [exact, 4]", 1, "kernels must be of type str, got 4"),
        ("model: a\nlora: 8\n", 2, "expected a mapping"),
        ("lora:\n  rank: x", 2, "rank must be of type int, got 'x'"),
        ("model: a\nnum-queries: 1\nnum_queries: 2\n", 3, "'num_queries' is given twi"),
        ("lora:\n  rank: 1\n  rank: 1\n", 3, "'rank' is given twice"),
        ("- model\n- a\n", 1, "expected a mapping"),
        ("\njust words", 2, "expected a mapping"),
        # values that YAML itself refuses: they are looked at key by key
        ("model: a\nrate: !!python/name:os.system x\n", 2, "rate: .*python/name"),
        ("shuffle: yes\nrate: 2024-13-45\n", 2, "rate: month"),
        ("num-queries: !!int many", 1, "num-queries: "),
    ],
)
def test_error_names_file_and_line(tmp_path, text, line, says):
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    where = f"config {tmp_path / 'settings.yaml'}, line {line}: "
    assert message.startswith(where)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a\nkernels: [a, b\n", "no valid YAML.* line 3"),
        ("model: a\n b: 1\n", "no valid YAML.* line 2"),
        ("model: a\n---\nmodel: b\n", "no valid YAML.* line 2"),
        (b"model: \xff\n", "no valid YAML"),
    ],
)
def test_bad_yaml(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"config {tmp_path / 'settings.yaml'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(InputError, match=r"config .*: cannot be read"):
        read_config_file(tmp_path / name, Settings)


def test_groups_without_a_prefix_have_none_here(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("model: m\nmesh: data=2,model=4\nmemory-per-device: 16\n")
    found = read_config_file(path, FidelitySettings)
    assert found == {"model": "m", "devices": DeviceOptions("data=2,model=4", 16.0)}
    path.write_text("model: m\nmesh: 4\n")
    with pytest.raises(InputError, match="line 2: mesh must be of type str, got 4"):
        read_config_file(path, FidelitySettings)
    path.write_text("devices: {mesh: auto}\n")
    with pytest.raises(InputError, match=r"line 1: unknown key 'devices'; .* mesh"):
        read_config_file(path, FidelitySettings)
