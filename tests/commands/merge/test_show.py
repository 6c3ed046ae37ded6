import os
import subprocess
import sys
import time

import pytest

from ntkjax.cli.main import main
from tests.commands.select.problem import flags_of, same_bits, write_problem


SHORT = {"method": "loss", "shortlist": "none"}


@pytest.fixture
def problem(world):
    write_problem(world)
    return world


def select(world, out, **changes) -> int:
    return main(["select", *flags_of(world, out=out, **SHORT, **changes)])


def test_jobs_end_as_one_run(problem, capsys):
    runs = [problem.root / f"run{part}" for part in (1, 2)]
    out = problem.root / "merged"
    command = ["merge", *map(str, runs), "--out", str(out)]
    assert select(problem, runs[0], shard="1/2") == 0
    assert "or `ntkjax merge` where each job has its own" in capsys.readouterr().out
    assert main(command[:2] + command[3:]) == 2
    line = capsys.readouterr().err
    assert "ntkjax: losses: 2 of 5 shards are missing, those of --shard 2/2" in line
    assert select(problem, runs[1], shard="2/2") == 0
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("merged: 5 shards of 2 runs\n")
    assert f"report: {out / 'report.html'}" in printed
    assert main(command) == 0
    assert "read again" in capsys.readouterr().out
    assert select(problem, problem.root / "alone") == 0
    assert same_bits(out) == same_bits(problem.root / "alone")


def test_settings_may_stand_in_a_file(problem, capsys):
    config = problem.root / "merge.yaml"
    config.write_text(f"runs: [{problem.root}/one]\nout: {problem.root}/merged\n")
    assert main(["merge", "--config", str(config)]) == 2
    assert "one/run.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "out"], "merge: give the run directories of the jobs"),
        (["a"], "--out"),
        (["a", "--out", "out"], "a/run.yaml: cannot be read"),
        (["a", "--out", "out", "--mesh", "3"], "--mesh 3"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["merge", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ntkjax: ")
    assert err.count("\n") == 1
    assert says in err
    assert not list(tmp_path.iterdir())


def test_help_says_what_a_second_round_is(capsys):
    with pytest.raises(SystemExit):
        main(["merge", "--help"])
    text = capsys.readouterr().out
    assert "--stages run/stages" in text
    assert "ntkjax merge run1 run2 --out run" in text


@pytest.mark.slow
def test_a_killed_merge_is_run_again(problem):
    """SIGKILL in the middle of the shards: 41 of them, one example in each."""
    runs = [problem.root / f"run{part}" for part in (1, 2)]
    for part, run in enumerate(runs, 1):
        assert select(problem, run, shard=f"{part}/2", rows_per_shard=1) == 0
    out = problem.root / "merged"
    script = "from ntkjax.cli.main import script; script()"
    command = ["merge", *map(str, runs), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    while process.poll() is None and not list(out.glob("stages/losses-*/*.json")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (out / "selection.json").exists()
    assert main(command) == 0
    assert select(problem, problem.root / "alone", rows_per_shard=1) == 0
    assert same_bits(out) == same_bits(problem.root / "alone")
