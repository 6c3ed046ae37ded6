"""What is wrong with a setting is said before any file is opened.

Every file that the commands below name is missing: a check that came after the first of
them would not be reached.
"""

import functools
import re
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from ntkjax.cli.main import COMMANDS, main
from ntkjax.store.run_path import RunPath
from tests.commands.world import build_world


FILES = {
    "fidelity": "--model m --queries q --candidates c --out o",
    "select": "--model m --target t --pool p --out o",
    "train": "--model m --data d --out o",
    "evaluate": "--model m --data d --out o",
    "mask": "--scores s --out o",
    "merge": "one two --out o",
    "plan": "--model m",
    "data": "--model m --data d",
    "demo": "--out o",
    "doctor": "",
}
RIGHT = {
    "select": "--budget 9",
    "plan": "--budget 9 --num-target 9 --num-pool 99 --hardware v5e-16",
    "mask": "--mask.share 0.5",
    "doctor": "--distributed auto",
}
"""What else a command needs: given unless the row says the same or another thing."""

NO_COUNT = ("0", "-3")
NO_NUMBER_ABOVE_ZERO = ("0", "-1", "nan", "inf")
NO_SHARE = ("0", "-0.1", "1.5", "nan")
NO_WEIGHT = ("-1", "nan", "inf")
NO_SEED = ("-1", "4294967296")
UNKNOWN = ("other",)
WRONG = {
    "max-length": NO_COUNT,
    "template": UNKNOWN,
    "train-on": UNKNOWN,
    "template-date": ("today", "2024-02-30", "20240726", ""),
    "dtype": ("float64",),
    "seed": NO_SEED,
    "num": NO_COUNT,
    "num-queries": NO_COUNT,
    "num-candidates": ("0", "2"),
    "num-target": NO_COUNT,
    "num-pool": NO_COUNT,
    "top": ("0", "81"),
    "cosine-tokens": ("1",),
    "kernels": ("other", "random_0", "spectral", "centered_summed", "summed summed"),
    "sketches": ("shift", "other:8", "shift:0", "shift:8 shift:8"),
    "kernel": ("other", "spectral_0", "deflated_4", "centered_summed"),
    "pooling": UNKNOWN,
    "embedding": UNKNOWN,
    "tokens-per-batch": NO_COUNT,
    "rows-per-shard": NO_COUNT,
    "max-new-tokens": NO_COUNT,
    "save-every": NO_COUNT,
    "validate-every": NO_COUNT,
    "show": ("-1",),
    "tokens-per-example": ("0", "257"),
    "hardware": ("v99-8", "v5p-3"),
    "method": UNKNOWN,
    "picker": ("other", "facility-location"),
    "quotas": ("a", "a=0", "a=x", "a=1 a=1"),
    "budget": NO_COUNT,
    "budget-tokens": NO_COUNT,
    "shortlist": UNKNOWN,
    "shortlist-size": ("0", "8"),
    "neighbors": NO_COUNT,
    "shard": ("3", "0/4", "5/4"),
    "warmup": UNKNOWN,
    "warmup-share": NO_SHARE,
    "validation-share": ("-0.1", "1.5", "nan"),
    "parameters": UNKNOWN,
    "keep": UNKNOWN,
    "mix": ("-1", "0", "nan", "1 1"),
    "kind": UNKNOWN,
    "domain": UNKNOWN,
    "seeds": ("1",),
    "world-seed": NO_SEED,
    "lora.rank": NO_COUNT,
    "lora.alpha": NO_NUMBER_ABOVE_ZERO,
    "lora.targets": ("", "*.mlp"),
    "training.epochs": NO_NUMBER_ABOVE_ZERO,
    "training.steps": NO_COUNT,
    "training.token-budget": NO_COUNT,
    "training.batch-size": NO_COUNT,
    "training.micro-batch": ("0", "3"),
    "training.learning-rate": NO_NUMBER_ABOVE_ZERO,
    "training.schedule": UNKNOWN,
    "training.warmup-share": ("-0.1", "1.1", "nan"),
    "training.weight-decay": NO_WEIGHT,
    "training.beta1": ("-0.1", "1", "nan"),
    "training.beta2": ("-0.1", "1", "nan"),
    "training.max-grad-norm": NO_WEIGHT,
    "sketch.size": NO_COUNT,
    "sketch.kind": UNKNOWN,
    "less.gradient": UNKNOWN,
    "fisher.examples": NO_COUNT,
    "fisher.damping": NO_WEIGHT,
    "dsir.buckets": NO_COUNT,
    "dualsft.lambda-new": NO_WEIGHT,
    "dualsft.lambda-prior": NO_WEIGHT,
    "dualsft.temperature": ("0", "1e9", "nan"),
    "dualsft.confidence": UNKNOWN,
    "dualsft.anchors": NO_COUNT,
    "dualsft.curvature": UNKNOWN,
    "dualsft.kappa": NO_WEIGHT,
    "dualsft.order": UNKNOWN,
    "dualsft.rounds": ("-1", "1001"),
    "mask.share": NO_SHARE,
    "mask.budget": NO_COUNT,
    "mask.granularity": UNKNOWN,
    "mask.sign": UNKNOWN,
    "mask.layer-quota": ("-0.1", "1.1", "nan"),
    "mask.module-quota": ("-0.1", "1.1", "nan"),
    "mesh": ("other", "data=0", "data=2,data=2", "data=2,other=2"),
    "memory-per-device": NO_NUMBER_ABOVE_ZERO,
    "distributed": UNKNOWN,
    "coordinator-address": ("host --num-processes 2 --process-id 0",),
    "num-processes": ("0 --coordinator-address host:1 --process-id 0",),
    "process-id": ("2 --coordinator-address host:1 --num-processes 2",),
    "initialization-timeout": NO_COUNT,
    "heartbeat-timeout": NO_COUNT,
}
"""Flag ↦ values that it cannot have. The first command that has it is given all of
them, every other one the first."""

ANYTHING = {"model"}
"""Settings that are a name of the user's."""

EMPTY = {"template-date"}
"""Flags of which the value "" is a word; of others it is none at all."""

MEETING = "--coordinator-address localhost:1 --num-processes 2 --process-id 1"
"""Nobody is there: a check that came after this would come after minutes."""

DUALSFT = "--method dualsft --mask.share 0.1"
TOGETHER = {
    "select": [
        "--budget-tokens 9",
        "--shortlist none --shortlist-size 20",
        "--shortlist none --neighbors 5",
        "--kernel exact --method random",
        "--reverse --picker round-robin --method rds",
        "--picker round-robin --method random",
        "--quotas a=1",
        "--warmup-share 0.5",
        "--warmup none --training.steps 5",
        "--parameters full --method loss --adapter a",
        "--parameters full --method loss --lora.rank 4",
        "--method ntk --parameters full",
        "--method less --warmup none",
        "--validation v",
        "--dualsft.order data-first --method dualsft",
        "--dualsft.rounds 2 --method dualsft",
        "--dualsft.curvature adam --warmup none --method dualsft",
        "--dualsft.lambda-new 0 --dualsft.lambda-prior 0 --method dualsft",
        "--validation-share 0.5 --validation v --method dualsft",
        "--validation-share 0.1 --num-target 3 --method dualsft",
        f"--mask.layer-quota 0.5 --mask.granularity row {DUALSFT}",
        f"--mask.budget 7 {DUALSFT}",
        "--training.epochs 1 --training.steps 1",
        f"--lora.rank 0 {MEETING}",
        f"--method less --warmup none {MEETING}",
    ],
    "plan": [
        "--pool p",
        "--budget 100",
        "--mesh data=4,model=2",
        "--mesh data=4,model=3 --hardware v5e-12",
        "--validation-share 0.1 --num-target 3 --method dualsft",
        "--method less --warmup none",
    ],
    "train": [
        "--parameters full --adapter a",
        "--lora.rank 4 --parameters full",
        "--validation v --validation-share 0.1",
        "--validate-every 5",
        "--training.steps 1 --training.token-budget 9",
        f"--lora.rank 0 {MEETING}",
    ],
    "evaluate": [
        "--max-new-tokens 16 --max-length 16 --generate",
        f"--num 0 {MEETING}",
    ],
    "fidelity": ["--top 7 --num-candidates 6", f"--lora.rank 0 {MEETING}"],
    "mask": ["--mask.budget 7", "--mask.module-quota 0.1 --mask.granularity layer"],
    "demo": ["--budget 100000", "--training.epochs 1 --training.steps 5"],
    "doctor": ["--out o --distributed off", "--mesh data=2 --distributed off"],
}
"""Flags that cannot stand together; the line names the first of them."""

MISSING = {
    "fidelity": {"--process-id 0": "--coordinator-address"},
    "select": {
        "": "--budget",
        "--budget 9 --mask.reverse --method dualsft": "--mask.share",
        "--budget 9 --mask.share 0.1": "--mask",
    },
    "plan": {
        "--budget 9 --num-target 9": "--num-pool",
        "--budget 9 --num-pool 9": "--num-target",
        "--num-target 9 --num-pool 99": "--budget",
    },
    "mask": {"": "--mask.share", "--mask.sign signed": "--mask.budget"},
}
"""Flags ↦ the one that is missing beside them, or the group that says nothing."""


def flags_of(settings_type: type, prefix: str = "") -> dict[str, typing.Any]:
    """Flag ↦ type of all settings."""
    found = {}
    hints = typing.get_type_hints(settings_type)
    for field in fields(settings_type):
        kind = hints[field.name]
        own = "" if field.name == "devices" else f"{field.name}."
        if is_dataclass(kind):
            assert isinstance(kind, type)
            found |= flags_of(kind, own)
        else:
            found[prefix + field.name.replace("_", "-")] = kind
    return found


def holds(kind: typing.Any, wanted: tuple[type, ...]) -> bool:
    """Whether a value of the type, or a part of it, may be one of these."""
    parts = typing.get_args(kind)
    return kind in wanted or any(holds(part, wanted) for part in parts)


@functools.cache
def flags_by_command() -> dict[str, dict[str, typing.Any]]:
    return {name: flags_of(COMMANDS[name].load()[0]) for name in COMMANDS}


def rows_of(name: str) -> list[tuple[str, list[str]]]:
    """The flag to be named, and the command line beside the files."""
    rows, flags = [], flags_by_command()
    for flag in flags[name]:
        is_first = name == next(other for other in COMMANDS if flag in flags[other])
        for value in WRONG.get(flag, ())[: None if is_first else 1]:
            words = [""] if value == "" and flag in EMPTY else value.split()
            rows.append([f"--{flag}", *words])
    rows += [row.split() for row in TOGETHER.get(name, [])]
    words = RIGHT.get(name, "").split()
    needed = dict(zip(words[::2], words[1::2], strict=True))
    for row in rows:
        row += [w for flag in needed if flag not in row for w in (flag, needed[flag])]
    found = [(row[0], row) for row in rows]
    return found + [(flag, r.split()) for r, flag in MISSING.get(name, {}).items()]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty folder to stand in; commands get the devices of the suite."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_file_is_needed_to_refuse_a_setting(name, nowhere, capsys):
    wrong = []
    for flag, row in rows_of(name):
        code = main([name, *FILES[name].split(), *row])
        out, err = capsys.readouterr()
        is_named = re.search(rf"(?<!\S){re.escape(flag)}(?![\w-]|\.\w)", err)
        if (code, out, err.count("\n"), bool(is_named)) != (2, "", 1, True):
            wrong.append((row, code, err))
    assert not wrong, wrong
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_that_can_be_wrong_is_tried(name):
    """All but files, switches and names that the user gives."""
    free = (bool, Path, *typing.get_args(RunPath))
    untried = {
        flag
        for flag, kind in flags_by_command()[name].items()
        if not holds(kind, free) and flag not in WRONG.keys() | ANYTHING
    }
    assert untried == set()


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("fidelity", "--queries"),
        ("fidelity", "--candidates"),
        ("select", "--target"),
        ("select", "--pool"),
        ("train", "--data"),
        ("evaluate", "--data"),
        ("data", "--data"),
    ],
)
def test_files_are_at_least_one(name, flag, capsys):
    words = FILES[name].split()
    del words[words.index(flag) + 1]
    assert main([name, *words, *RIGHT.get(name, "").split()]) == 2
    assert capsys.readouterr().err.startswith(f"ntkjax: {flag}: expected at least one")


def test_a_broken_pool_comes_second(tmp_path, capsys):
    world = build_world(tmp_path)
    text = world.candidates.read_text()
    world.candidates.write_text(text + "{broken\n")
    files = ["--target", world.queries, "--pool", world.candidates, "--out", world.out]
    flags = map(str, ["--model", world.model, *files, "--budget", 5])
    assert main(["select", *flags, "--lora.rank", "0"]) == 2
    assert capsys.readouterr().err == "ntkjax: --lora.rank 0: expected at least 1.\n"
    assert not world.out.exists()
