"""Real processes that meet on this machine, each with a port and devices of CPU."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from ntkjax.commands.doctor.cluster import limit
from ntkjax.settings.devices import DeviceOptions
from tests.commands.session import end_all, free_port, lines_of, meeting, start


HOST = socket.gethostname()

BROKEN = """
import os, signal, time
from ntkjax.commands.doctor import cluster
def broken():
    {what}
cluster._sum_over_devices = broken
from ntkjax.cli.main import script
script()
"""
"""A doctor that goes wrong in the sum."""


def doctors(folder: pathlib.Path, outs, devices=(2, 2), heartbeat=10) -> list:
    port = free_port()
    return [
        start(
            [
                *("doctor", "--distributed", "auto", "--out", str(out)),
                *meeting(index, len(outs), port, heartbeat),
            ],
            folder / f"{index}.log",
            devices[index],
        )
        for index, out in enumerate(outs)
    ]


def said(folder: pathlib.Path, index: int) -> list[str]:
    return lines_of(folder / f"{index}.log")


@pytest.mark.slow
def test_processes_that_agree(tmp_path):
    out = tmp_path / "run"
    codes = end_all(doctors(tmp_path, [out, out]), 60)
    lines = said(tmp_path, 0)
    assert codes == [0, 0], lines
    assert said(tmp_path, 1) == []
    kept = [line for line in lines if line.startswith("process ")]
    assert [line.split(maxsplit=2)[:2] for line in kept] == [
        ["process", "0"],
        ["process", "1"],
    ]
    assert all(line.endswith(f"{HOST}, 2 × cpu") for line in kept)
    checks = [line for line in lines if line[:4] in ("ok  ", "warn", "FAIL")]
    assert [line.partition(":")[0] for line in checks] == [
        "ok   processes",
        "ok   devices",
        "ok   versions",
        "ok   settings",
        "ok   clocks",
        "ok   sum over all devices",
        f"ok   folder {out}",
    ]
    assert "1 + ... + 4 = 10 in " in checks[5]
    # A run may still begin there: only notes, which claim no directory.
    assert [path.name for path in out.iterdir()] == ["processes"]
    assert sorted(path.name for path in (out / "processes").iterdir()) == [
        "process-0.json",
        "process-1.json",
    ]


@pytest.mark.slow
def test_processes_that_do_not(tmp_path):
    """Other devices, another folder: all of it is said, once."""
    outs = [tmp_path / "a", tmp_path / "b"]
    codes = end_all(doctors(tmp_path, outs, devices=(2, 1)), 60)
    lines = said(tmp_path, 0)
    assert codes == [1, 1], lines
    assert said(tmp_path, 1) == []
    assert [line.partition(":")[0] for line in lines if line.startswith("FAIL")] == [
        "FAIL devices",
        "FAIL settings",
        f"FAIL folder {outs[0]}",
    ]
    other = f"process 1 (host {HOST})"
    assert any(f"{other} has devices 1 × cpu, process 0" in line for line in lines)
    assert any(f"{other} has out {outs[1]}, process 0" in line for line in lines)
    assert any("1 + ... + 3 = 6 in " in line for line in lines)
    assert lines[-1].startswith("These processes cannot make one run")


def with_broken_second(folder: pathlib.Path, what: str, heartbeat: int) -> list:
    """Two doctors; the second one does something else for the sum."""
    words = ["doctor", "--distributed", "auto", "--out", str(folder / "run")]
    port = free_port()
    first = start(
        [*words, *meeting(0, 2, port, heartbeat)], folder / "0.log", devices=2
    )
    with (folder / "1.log").open("w") as log:
        second = subprocess.Popen(
            [
                *(sys.executable, "-c", BROKEN.format(what=what)),
                *(*words, *meeting(1, 2, port, heartbeat)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"},
        )
    return [first, second]


@pytest.mark.slow
def test_a_process_that_is_lost(tmp_path):
    """The other one notices by the network, or by JAX's heartbeat: which is first?"""
    started = with_broken_second(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", 10)
    codes = end_all(started, 60)
    [line] = said(tmp_path, 0)
    by_network = (
        f"ntkjax: process 0 (host {HOST}): lost another process in the step 'a sum "
    )
    by_heartbeat = (
        f"ntkjax: process 0: lost process 1 (host {HOST}, in: a sum over all devices); "
    )
    expected = {75: by_network, -signal.SIGABRT: by_heartbeat}
    assert codes[1] == -signal.SIGKILL
    assert line.startswith(expected[codes[0]])
    assert "run the same command again" in line


@pytest.mark.slow
def test_a_process_that_hangs(tmp_path):
    """It is alive, as far as JAX can see; both end, each with its step."""
    codes = end_all(with_broken_second(tmp_path, "time.sleep(300)", 2), 60)
    assert codes == [1, 1]
    for index in (0, 1):
        [line] = said(tmp_path, index)
        assert line.startswith(f"ntkjax: process {index} (host {HOST}): the step ")
        assert "'a sum over all devices' did not end within 14 s" in line


def test_limit_is_longer_than_jax_needs():
    assert limit(DeviceOptions(heartbeat_timeout=100)) > 2 * 100
