"""Processes that are killed, missing, or started with other settings."""

import pathlib
import signal
import time

import pytest

from tests.commands.select.problem import flags_of, same_bits, write_problem
from tests.commands.session import end_all, free_port, lines_of, meeting, start
from tests.commands.world import build_world


HEARTBEAT = 10
LOST = 60
"""Seconds after which a process that lost another must have ended: JAX notices within
the heartbeat time-out or two, and looks again every few seconds."""

WARM = {
    "warmup": "target",
    "adapter": None,
    "lora__rank": 2,
    "training__steps": 12,
    "training__batch_size": 4,
    "rows_per_shard": 1,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("lost"))
    write_problem(world)
    return world


def select(world, out, count: int, **changes) -> list:
    """The processes of one selection, with two devices each."""
    words = ["select", *flags_of(world, out=out, **WARM)]
    port = free_port()
    return [
        start(
            [*words, *(meeting(index, count, port, HEARTBEAT) if count > 1 else [])],
            log_of(out, index),
            2,
        )
        for index in range(count)
    ]


def log_of(out, index: int) -> pathlib.Path:
    return out.with_name(f"{out.name}-{index}.log")


def wait_for(out, pattern: str, number: int, processes) -> None:
    """Until there are so many files more; the processes must be alive."""
    number += len(list(out.glob(pattern)))
    while len(list(out.glob(pattern))) < number:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


@pytest.mark.slow
def test_kills_and_restarts_end_in_the_same_bits(world):
    """Kills of one, of the other and of both; restarts with 1 and 2 processes."""
    alone = world.root / "alone"
    assert end_all(select(world, alone, 1), 300) == [0], log_of(alone, 0).read_text()
    out = world.root / "out"
    killed = select(world, out, 2)
    wait_for(out, "stages/warmup*/checkpoints/*", 1, killed)
    killed[0].send_signal(signal.SIGKILL)
    codes = end_all(killed, LOST)
    assert codes[0] == -9
    assert codes[1] == -signal.SIGABRT
    said = log_of(out, 1).read_text()
    assert "ntkjax: process 1: lost process 0 (host " in said or (
        "ntkjax: process 1: lost the coordinator, process 0 (host " in said
    )
    assert said.count("\n") == 1
    killed = select(world, out, 1)
    wait_for(out, "stages/embedding*/*.json", 3, killed)
    killed[0].kill()
    end_all(killed, LOST)
    killed = select(world, out, 2)
    wait_for(out, "stages/embedding*/*.json", 3, killed)
    for process in killed:
        process.kill()
    assert end_all(killed, LOST) == [-signal.SIGKILL] * 2
    killed = select(world, out, 2)
    wait_for(out, "stages/embedding*/*.json", 3, killed)
    killed[1].kill()
    codes = end_all(killed, LOST)
    assert codes == [-signal.SIGABRT, -9]
    said = log_of(out, 0).read_text()
    assert "ntkjax: process 0: lost process 1 (host " in said
    assert "run the same command again" in said
    assert end_all(select(world, out, 2), 300) == [0, 0], log_of(out, 0).read_text()
    assert same_bits(out) == same_bits(alone)


@pytest.mark.slow
@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_process(world, silent):
    """Stopped, and not ended: only its heartbeats are missing."""
    out = world.root / f"silent-{silent}"
    started = select(world, out, 2)
    try:
        wait_for(out, "stages/embedding*/*.json", 1, started)
        started[silent].send_signal(signal.SIGSTOP)
        other = started[1 - silent]
        assert end_all([other], LOST) == [-signal.SIGABRT]
        line = lines_of(log_of(out, 1 - silent))[-1]  # the first one says more
        assert f"process {1 - silent}: lost " in line
        assert f"process {silent} (host " in line
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_started_with_other_settings(world):
    port = free_port()
    started = [
        start(
            [
                *["select", *flags_of(world, out=world.root / "other", budget=4 + i)],
                *meeting(i, 2, port),
            ],
            world.root / f"other-{i}.log",
            1,
        )
        for i in range(2)
    ]
    assert end_all(started, 60) == [2, 2]
    said = (world.root / "other-0.log").read_text()
    assert "process 1 has budget 5, but process 0 has 4; start all" in said
    assert not (world.root / "other" / "run.yaml").exists()


@pytest.mark.slow
def test_a_missing_process(world):
    words = ["select", *flags_of(world, out=world.root / "missing")]
    flags = meeting(0, 2, free_port())
    flags[-1] = "3"
    log = world.root / "missing.log"
    [code] = end_all([start([*words, *flags], log, 1)], 60)
    assert code == -signal.SIGABRT
    assert lines_of(log) == [
        f"ntkjax: process 0: not all of 2 processes came to {flags[1]} within 3 s: "
        "start the missing ones, or mend the number of processes and their numbers."
    ]


@pytest.mark.slow
def test_an_unreachable_coordinator(world):
    words = ["select", *flags_of(world, out=world.root / "unreachable")]
    flags = meeting(1, 2, free_port())
    flags[-1] = "3"
    log = world.root / "unreachable.log"
    [code] = end_all([start([*words, *flags], log, 1)], 60)
    assert code == -signal.SIGABRT
    assert lines_of(log) == [
        f"ntkjax: process 1: the coordinator at {flags[1]} cannot be reached (waited "
        "3 s): start process 0 there, open the port, or mend the address."
    ]
