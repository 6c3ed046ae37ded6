import importlib.metadata
import os
import pathlib
import subprocess
import sys
from dataclasses import fields

import pytest

from ntkjax.cli import main as module
from ntkjax.cli.main import COMMANDS, Command, main
from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.runs.model import LoraOptions
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.pickers.table import PICKERS
from ntkjax.settings.devices import DeviceOptions


@pytest.fixture
def recorded(monkeypatch):
    """`ntkjax fidelity` that only hands back its settings."""
    seen = []

    def act(settings) -> int:
        seen.append(settings)
        return 0

    command = Command("recorded", lambda: (FidelitySettings, act))
    monkeypatch.setitem(COMMANDS, "fidelity", command)
    return seen


REQUIRED = ["--model", "m", "--queries", "q", "--candidates", "c", "--out", "o"]


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_usage_names_every_command(capsys, arguments):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("usage: ntkjax COMMAND")
    assert "--config FILE.yaml" in out
    for name, command in COMMANDS.items():
        assert f"  {name}" in out
        assert command.summary in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == importlib.metadata.version("ntkjax") + "\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fidelty"], ["'fidelty'", "there are fidelity, ", "doctor"]),
        (["--fidelity"], ["unknown command '--fidelity'"]),
        (["fidelity"], ["--model", "--queries", "--candidates", "--out"]),
        (["fidelity", *REQUIRED[:-2]], ["--out"]),
        (["fidelity", *REQUIRED, "--seed", "one"], ["--seed", "'one'"]),
        (["fidelity", *REQUIRED, "--lora.rank", "x"], ["--lora.rank", "x"]),
        (["fidelity", *REQUIRED, "--colour", "red"], ["--colour"]),
        (["fidelity", *REQUIRED, "--seed"], ["--seed"]),
        (["fidelity", *REQUIRED, "--config"], ["--config needs a YAML file"]),
        (["fidelity", *REQUIRED, "--config="], ["--config needs a YAML file"]),
        (["fidelity", *REQUIRED, "--config", "no.yaml"], ["--config no.yaml"]),
        (["doctor", "--seed", "1"], ["--seed"]),
        (
            ["fidelity", *REQUIRED[:-1], "s3://bucket/run"],
            ["ntkjax: --out: s3://bucket/run: cannot be written; expected a local"],
        ),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line(capsys, recorded, arguments, says):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ntkjax: ")
    assert err.count("\n") == 1
    for text in says:
        assert text in err
    assert not recorded
    assert not set("│╭╮╰╯") & set(err)


def test_help_of_a_command_mentions_every_flag(capsys, recorded):
    with pytest.raises(SystemExit) as stop:
        main(["fidelity", "--help"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    groups = ("lora", "devices")
    names = [f.name for f in fields(FidelitySettings) if f.name not in groups]
    names += [f"lora.{f.name}" for f in fields(LoraOptions)]
    names += [f.name for f in fields(DeviceOptions)]
    for name in names:
        assert f"--{name.replace('_', '-')} " in out.replace(",", " "), name
    assert "--config" in out


@pytest.mark.parametrize("width", [80, 160])
def test_help_of_select_lists_methods_and_pickers(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as stop:
        main(["select", "--help"])
    assert stop.value.code == 0
    _, _, listed = capsys.readouterr().out.rpartition("--method")
    lines = listed.splitlines()
    for row in (*METHODS.values(), *PICKERS.values()):  # one line each
        (line,) = [line for line in lines if line.startswith(f"{row.name} ")]
        assert line.split() == [row.name, *row.summary.split()]
    _, _, defaults = " ".join(listed.split()).partition("Defaults: ")
    assert defaults == (
        "--warmup: target (ntk), pool (dualsft, less, gradient-dot, cosine, fisher), "
        "else none --shortlist: vote (ntk), else none --picker: round-robin (rds), "
        "else top"
    )
    assert max(map(len, lines)) <= width


def test_help_of_other_commands_lists_nothing(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    out = capsys.readouterr().out
    assert "the others end" in out.rstrip().splitlines()[-1]


def test_flag_beats_file_beats_default(tmp_path, recorded):
    path = tmp_path / "settings.yaml"
    path.write_text(
        "model: from-file\nqueries: q\ncandidates: c\nseed: 5\ntop: 4\n"
        "lora: {rank: 3, alpha: 7}\n"
    )
    flags = ["--out", "o", "--seed", "6", "--lora.rank", "2", "--no-shuffle"]
    for config in (["--config", str(path)], [f"--config={path}"]):
        assert main(["fidelity", *config, *flags]) == 0
    first, second = recorded
    assert first == second
    assert (first.seed, first.lora.rank, first.shuffle) == (6, 2, False)
    assert (first.model, first.top, first.lora.alpha) == ("from-file", 4, 7.0)
    assert (first.num_queries, first.lora.targets) == (12, None)
    assert first.out == pathlib.Path("o")


def test_what_the_file_leaves_out_is_still_required(tmp_path, recorded, capsys):
    path = tmp_path / "settings.yaml"
    path.write_text("model: m\nqueries: q\n")
    assert main(["fidelity", "--config", str(path), "--out", "o"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--candidates" in err
    assert "--queries" not in err


def test_interrupt(monkeypatch, capsys):
    def act(settings):
        raise KeyboardInterrupt

    monkeypatch.setitem(
        COMMANDS, "fidelity", Command("", lambda: (FidelitySettings, act))
    )
    assert main(["fidelity", *REQUIRED]) == 130
    assert capsys.readouterr().err == "ntkjax: interrupted.\n"


def test_a_defect_keeps_its_traceback(monkeypatch):
    def act(settings):
        raise RuntimeError("a defect")

    monkeypatch.setitem(
        COMMANDS, "fidelity", Command("", lambda: (FidelitySettings, act))
    )
    with pytest.raises(RuntimeError, match="a defect"):
        main(["fidelity", *REQUIRED])


def test_commands_load_what_they_name(world):
    settings_type, act = module.COMMANDS["fidelity"].load()
    assert settings_type is FidelitySettings
    assert act.__module__ == "ntkjax.commands.fidelity.show"


@pytest.mark.slow
def test_installed_script_says_one_line(world):
    """No note of transformers', no warning, no traceback beside our own line."""
    world.edit_config(surprise=1)
    script = pathlib.Path(sys.executable).with_name("ntkjax")
    environment = {k: v for k, v in os.environ.items() if "TRANSFORMERS" not in k}
    done = subprocess.run(
        [script, "fidelity", *world.flags()],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "config.json" in done.stderr
    assert "surprise=1" in done.stderr
    # past the tokenizer, whose import is what chatters
    done = subprocess.run(
        [script, "fidelity", *world.flags(max_length=1)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
