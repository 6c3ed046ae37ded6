"""Commands in processes of their own, with their wall time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


PEERS = Path(__file__).resolve().parent / "peers"
_PROGRAM = "from ntkjax.cli.main import script; script()"


def run_command(*words: str) -> dict:
    """Runs `ntkjax WORDS...`: its `seconds`, start-up included, and its `peak_mib`.

    Raises:
        subprocess.CalledProcessError: If the command fails.
    """
    return _measured([sys.executable, "-c", _PROGRAM, *words], os.environ)


def run_peer(script: str, *words: str | Path) -> dict:
    """The same of a script of `peers/`, in an environment of its own.

    The environment is made before the time is taken.

    Raises:
        subprocess.CalledProcessError: If the script fails.
    """
    links = os.environ.get("PIP_FIND_LINKS")
    env = {**os.environ, **({"UV_FIND_LINKS": links} if links else {})}
    file = str(PEERS / f"{script}.py")
    subprocess.run(["uv", "sync", "--quiet", "--script", file], env=env, check=True)
    command = ["uv", "run", "--quiet", "--no-sync", "--script", file]
    return _measured([*command, *map(str, words)], env)


def _measured(command: Sequence[str], env: Mapping[str, str]) -> dict:
    """Memory is that of the largest process, if the command starts others."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "peak_mib": round(usage.ru_maxrss / 1024)}
