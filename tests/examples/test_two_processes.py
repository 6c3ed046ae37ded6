"""examples/launch/two_processes.sh: the same command twice, ended together."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest


ROOT = pathlib.Path(__file__).parents[2]

FLAGS = ("--coordinator-address", "--num-processes", "--process-id")


def two_processes(folder, *words, timeout=60):
    return subprocess.run(
        [ROOT / "examples/launch/two_processes.sh", folder, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.parametrize("words", [["--"], ["ntkjax", "doctor"], ["ntkjax"]])
def test_usage(tmp_path, words):
    ended = two_processes(tmp_path, *words)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")


def test_both_run_the_same_command(tmp_path):
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    ended = two_processes(tmp_path, "--", sys.executable, "-c", code, "a word")
    assert ended.returncode == 0, ended.stderr
    logs = [(tmp_path / f"process-{i}.log").read_text() for i in (0, 1)]
    assert logs[0] in ended.stdout
    first, second = map(json.loads, logs)
    assert first[0] == "a word"
    assert first[1::2] == list(FLAGS)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", first[2])
    assert first[4::2] == ["2", "0"]
    assert second == [*first[:-1], "1"]


@pytest.mark.parametrize("failing", [0, 1])
def test_they_end_together(tmp_path, failing):
    """The other one, with what it started, is ended; both are there when one fails."""
    program = tmp_path / "program.sh"
    program.write_text(
        f'echo "here" >{tmp_path}/started-$6; sleep 300 & echo $! >{tmp_path}/pid-$6\n'
        f"until [[ -e {tmp_path}/pid-0 && -e {tmp_path}/pid-1 ]]; do sleep 0.05; done\n"
        f'if [[ "$6" == {failing} ]]; then kill %1; echo "no luck"; exit 75; fi; wait\n'
    )
    begin = time.monotonic()
    ended = two_processes(tmp_path, "--", "bash", program)
    assert ended.returncode == 75
    assert "exit code 75" in ended.stderr
    assert "no luck" in ended.stderr
    assert time.monotonic() - begin < 30
    for process in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid-{process}").read_text()), 0)


@pytest.mark.slow
def test_one_that_ignores_the_request_is_ended(tmp_path):
    """As JAX does: it takes SIGTERM for the announcement of a preemption."""
    program = tmp_path / "program.sh"
    program.write_text(
        f'trap "" TERM; echo $$ >{tmp_path}/pid-$6\n'
        f"until [[ -e {tmp_path}/pid-0 && -e {tmp_path}/pid-1 ]]; do sleep 0.05; done\n"
        f"if [[ $6 == 1 ]]; then exit 3; fi; while true; do sleep 0.1; done\n"
    )
    assert two_processes(tmp_path, "--", "bash", program).returncode == 3
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid-0").read_text()), 0)


@pytest.mark.slow
def test_select(tmp_path):
    ended = two_processes(tmp_path, timeout=900)
    assert ended.returncode == 0, ended.stderr
    assert "report: " in ended.stdout
    assert len((tmp_path / "select" / "selected.jsonl").read_text().splitlines()) == 100
