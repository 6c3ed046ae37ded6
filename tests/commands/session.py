"""Commands one after the other in one process, which may be one of several.

    python -m tests.commands.session COMMANDS.json
    python -m tests.commands.session WORD ...

The file holds a list of commands, each a list of words. The first one joins the other
processes, if its flags say so. The exit code is that of the first one to fail.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

from ntkjax.cli.main import main, script


ROOT = pathlib.Path(__file__).parents[2]


def meeting(index: int, count: int, port: int, heartbeat: int = 10) -> list[str]:
    """The flags of one of several processes on this machine."""
    return [
        *("--coordinator-address", f"127.0.0.1:{port}", "--num-processes", str(count)),
        *("--process-id", str(index), "--heartbeat-timeout", str(heartbeat)),
        *("--initialization-timeout", "45"),
    ]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(words: list[str], log: pathlib.Path, devices: int):
    """A process of Python with so many devices; what it says is added to the log."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "OMPI"))}
    told = {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.commands.session", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=kept | told | {"HF_HUB_OFFLINE": "1"},
        )


def end_all(started: list[subprocess.Popen], seconds: float) -> list[int]:
    """Exit codes; what has not ended by then is killed, and has code -9."""
    end = time.monotonic() + seconds
    try:
        return [process.wait(max(0.1, end - time.monotonic())) for process in started]
    except subprocess.TimeoutExpired:
        for process in started:
            process.kill()
        return [process.wait() for process in started]


def lines_of(log: pathlib.Path) -> list[str]:
    """What a process said, whose last line another may write just after its end."""
    end = time.monotonic() + 10
    while not log.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    return log.read_text().splitlines()


if __name__ == "__main__":
    commands = [sys.argv[1:]]
    if sys.argv[1].endswith(".json"):
        commands = json.loads(pathlib.Path(sys.argv[1]).read_bytes())
    for command in commands[:-1]:
        code = main(command)
        if code:
            sys.exit(code)
    sys.argv[1:] = commands[-1]
    script()
