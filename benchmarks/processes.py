"""Commands of ntkjax in processes of their own, with their wall time and memory."""

import os
import subprocess
import sys
import time


_PROGRAM = "from ntkjax.cli.main import script; script()"


def run_command(*words: str) -> dict:
    """Runs `ntkjax WORDS...`: its `seconds`, start-up included, and its `peak_mib`.

    Raises:
        subprocess.CalledProcessError: If the command fails.
    """
    command = [sys.executable, "-c", _PROGRAM, *words]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "peak_mib": round(usage.ru_maxrss / 1024)}
