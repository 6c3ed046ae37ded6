import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from ntkjax.cli.main import main
from tests.commands.select.problem import (
    flags_of,
    lines_of,
    result_of,
    same_bits,
    write_problem,
)
from tests.commands.world import write_records
from tests.kills import run_kills


@pytest.fixture
def problem(world):
    write_problem(world)
    return world


def run(world, **changes) -> int:
    return main(["select", *flags_of(world, **changes)])


def target_of(world):
    return world.root / "target.jsonl"


def pool_of(world):
    return world.root / "pool.jsonl"


def same(world):
    pass


def duplicate_ids(world):
    lines = lines_of(pool_of(world))
    lines[30] = b'{"id": "p7", "prompt": "abc", "response": "def"}\n'
    pool_of(world).write_bytes(b"".join(lines))


def empty_target(world):
    target_of(world).write_text("\n \n")


def unreadable_line(world):
    """In the middle of a pool of 10,000 lines."""
    lines = [f'{{"prompt": "ab", "response": "c{i}"}}' for i in range(10_000)]
    lines[4_999] = lines[4_999][:-1]
    pool_of(world).write_text("\n".join(lines) + "\n")


def bad_bytes(world):
    lines = lines_of(pool_of(world))
    lines[10] = b'{"prompt": "a", "response": "\xff"}\n'
    pool_of(world).write_bytes(b"".join(lines))


def no_pool(world):
    pool_of(world).unlink()


def another_run(world):
    world.out.mkdir()
    (world.out / "run.yaml").write_text("seed: 3\n")
    (world.out / "manifest.json").write_text("{}")


def a_thesis(world):
    world.out.mkdir()
    (world.out / "thesis.txt").write_text("")


def scale_adapter(world, factor):
    path = world.root / "start" / "adapter_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors = {name: tensor * np.float32(factor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(tensors, path)


def nan_adapter(world):
    scale_adapter(world, np.nan)


BAD = {
    # what is done to the world, flags, what the line names
    "no budget": (same, {"budget": None}, ["--budget", "--budget-tokens"]),
    "two budgets": (same, {"budget_tokens": 9}, ["--budget", "--budget-tokens"]),
    "small pool": (same, {"budget": 42}, ["--budget 42", "pool.jsonl", "41"]),
    "no target": (same, {"target": None}, ["--target"]),
    "duplicate ids": (duplicate_ids, {}, ["pool.jsonl line 31", '"p7"', "line 8"]),
    "empty target": (empty_target, {}, ["target.jsonl", "no examples"]),
    "unreadable line": (unreadable_line, {}, ["pool.jsonl line 5000", "JSON"]),
    "bad bytes": (bad_bytes, {}, ["pool.jsonl line 11", "UTF-8"]),
    "no pool": (no_pool, {}, ["pool.jsonl", "cannot be read"]),
    "no model": (same, {"model": "absent"}, ["--model absent"]),
    "another run": (another_run, {}, ["--out", "holds another run"]),
    "foreign files": (a_thesis, {}, ["--out", "not empty"]),
    "shard 0": (same, {"shard": "0/2"}, ["--shard 0/2", "i/n"]),
    "shard 3 of 2": (same, {"shard": "3/2"}, ["--shard 3/2", "i/n"]),
    "no shard": (same, {"shard": "half"}, ["--shard half", "i/n"]),
    "unknown kernel": (
        same,
        {"kernel": "spectra_1"},
        ["--kernel spectra_1", "spectral_RANK"],
    ),
    "rank of head": (same, {"kernel": "spectral_33"}, ["--kernel spectral_33", "32"]),
    "dtype": (same, {"dtype": "float64"}, ["--dtype float64", "stored"]),
    "NaN adapter": (nan_adapter, {}, ["adapter_model", "lora_A", "NaN"]),
    "no target matrix": (
        same,
        {"adapter": None, "lora__targets": "q_pro"},
        ["--lora.targets", "q_pro"],
    ),
    "beyond positions": (same, {"max_length": 65}, ["--max-length 65", "64"]),
    "both ends": (
        same,
        {"training__steps": 3, "training__epochs": 2.0},
        ["--training.epochs", "--training.steps"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(problem, capsys, case):
    damage, flags, says = BAD[case]
    damage(problem)
    before = sorted(problem.root.rglob("*"))
    assert run(problem, **flags) == 2
    check_line(capsys, says)
    # nothing was claimed: with the slip mended the same --out will do
    assert sorted(problem.root.rglob("*")) == before


def check_line(capsys, says):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ntkjax: ")
    assert err.count("\n") == 1
    for text in says:
        assert text in err


def test_an_adapter_that_overflows_is_found_at_an_example(problem, capsys):
    """Its numbers are finite, but not what the model makes of them."""
    scale_adapter(problem, 1e25)
    assert run(problem) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("ntkjax: the embedding of example 'p")
    assert "NaN or infinite" in last
    assert not list(problem.out.glob("stages/*/*"))


@pytest.mark.slow
def test_a_full_disk_loses_nothing(problem, capsys, monkeypatch):
    """It is full after the first shard: data and record."""
    replace, shards = os.replace, 0

    def full(source, target):
        nonlocal shards
        shards += "shard-" in str(target)
        if shards > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert run(problem) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert "shard-00001.safetensors: the disk is full" in last
    assert "run the same command again" in last
    kept = {path: path.read_bytes() for path in problem.out.glob("stages/*/*")}
    names = sorted(path.name for path in kept)
    assert names == ["shard-00000.json", "shard-00000.safetensors"]
    stamps = [path.stat().st_mtime_ns for path in kept]

    assert run(problem) == 0
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert run(problem, out=problem.root / "other") == 0
    assert same_bits(problem.out) == same_bits(problem.root / "other")


def test_prints_what_was_chosen_and_finds_a_finished_run(problem, capsys):
    flags = {"length_normalize": None, "kernel": "summed"}
    assert main(["select", *flags_of(problem, **flags), "--no-length-normalize"]) == 0
    first = capsys.readouterr().out
    assert f"report: {problem.out / 'report.html'}" in first
    assert "read again" not in first
    for source, count in _sources(problem.out).items():
        (row,) = [line for line in first.splitlines() if line.startswith(source)]
        assert str(count) in row.split()
    written = sorted(path.name for path in problem.out.iterdir())
    assert written == [
        ".run-1-of-1.lock",
        "adapter",
        "manifest.json",
        "metrics.jsonl",
        "report.html",
        "run.yaml",
        "scores.parquet",
        "selected.jsonl",
        "selection.json",
        "stages",
    ]
    assert main(["select", *flags_of(problem, **flags), "--no-length-normalize"]) == 0
    second = capsys.readouterr()
    assert second.err == ""
    assert "finished before with the same settings; read again" in second.out
    assert run(problem) == 2
    assert "length_normalize was False and is now True" in capsys.readouterr().err


def _sources(out: pathlib.Path) -> dict[str, int]:
    rows = result_of(out)["sources"]
    return {row["source"]: row["selected"] for row in rows if row["selected"]}


def test_a_part_says_what_is_left(problem, capsys):
    assert run(problem, shard="1/2") == 0
    out = capsys.readouterr().out
    assert "embeddings: this job's shards are written; 2 of 5 are left" in out
    assert run(problem, shard="2/2", rows_per_shard=9) == 2
    assert "rows_per_shard was 10 and is now 9" in capsys.readouterr().err


def test_hostile_texts_stay_texts(problem):
    """Scripts are escaped, and ids are no paths."""
    script = "<script>alert('pool')</script>"
    records = [
        {
            "id": "../../etc/passwd",
            "prompt": script,
            "response": "</pre>",
            "source": "a",
        },
        {"id": "<u>x</u>", "prompt": "ab", "response": script, "source": script},
        {"id": "/tmp/x\u0000", "text": "<img src=x onerror=alert(1)>"},
        {"id": "plain", "prompt": "ab", "response": "cd"},
    ]
    write_records(pool_of(problem), records)
    before = set(problem.root.rglob("*"))
    assert run(problem, budget=3, max_length=60, shortlist="none") == 0
    page = (problem.out / "report.html").read_text(encoding="utf-8")
    for bad in ("<script", "<img", "</pre><", "<u>"):
        assert bad not in page
    assert "&lt;script&gt;" in page
    assert "../../etc/passwd" in page
    new = set(problem.root.rglob("*")) - before
    assert all(path == problem.out or problem.out in path.parents for path in new)
    chosen = {
        json.loads(line)["id"] for line in lines_of(problem.out / "selected.jsonl")
    }
    assert chosen < {record["id"] for record in records}


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_can_be_taken_up(problem):
    """A real interrupt, in the middle of the shards: 300, one example in each."""
    records = [{"prompt": "ab", "response": f"c{i}"} for i in range(300)]
    write_records(pool_of(problem), records)
    # A suite that runs in the background is deaf to SIGINT, and so are its children.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script = f"{listen}from ntkjax.cli.main import script; script()"
    flags = flags_of(problem, rows_per_shard=1, shortlist="none")
    command = [sys.executable, "-c", script, "select", *flags]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    records = lambda: list(problem.out.glob("stages/kernel-scores-*/*.json"))
    started = time.monotonic()
    while not records() and time.monotonic() - started < 600:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "ntkjax: interrupted."
    assert "Traceback" not in err
    written = len(records())
    assert 1 <= written < 300
    assert not list(problem.out.rglob(".*.partial"))
    assert run(problem, rows_per_shard=1, shortlist="none") == 0
    assert len(records()) == 300


@pytest.mark.slow
def test_three_kills(tmp_path):
    report = run_kills(tmp_path, 3, seed=1, num_steps=200)
    assert len(report.kills) == 3
    assert report.differences == []
