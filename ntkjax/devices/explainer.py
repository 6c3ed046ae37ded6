"""Says in one line why JAX ended this process: run beside it, as a process of its own.

When another process of a run is lost, JAX's coordination service aborts all others from
a thread in C++: no Python code of theirs runs any more. So what they write to standard
error, below Python, goes through this program. It reads until they have ended, puts one
line in place of the service's words, and hands on anything else unchanged.

Only the standard library is imported, and etils where the notes are in a bucket.
"""

import argparse
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any


_LOST = re.compile(r"tasks are unhealthy[^\n]*\n((?:\d+\n)+)")


def explanation(
    text: str, index: int, count: int, address: str, seconds: int, folder: Any
) -> str | None:
    """One line for what the coordination service wrote; None for other text.

    Args:
        text: What was written.
        index: Number of the process.
        count: Processes in all.
        address: Where the coordinator was to be met.
        seconds: How long it was waited for.
        folder: Where processes note their hosts and stages.
    """
    if "JAX distributed service" not in text:
        return None
    found = _LOST.search(text)
    if found:
        lost = [named(int(word), folder) for word in found[1].split()]
        return f"lost {', '.join(lost)}; {_AGAIN}"
    if "RegisterTask" in text and "DEADLINE_EXCEEDED" in text:
        if index and not _answers(address):
            return (
                f"the coordinator at {address} cannot be reached (waited {seconds} s): "
                "start process 0 there, open the port, or mend the address."
            )
        return (
            f"not all of {count} processes came to {address} within {seconds} s: start "
            "the missing ones, or mend the number of processes and their numbers."
        )
    reason = text.partition("absl::Status: ")[2].partition("\n")[0]
    return f"lost the coordinator, {named(0, folder)} ({reason}); {_AGAIN}"


_AGAIN = (
    "what is written is kept: run the same command again, with any number of processes."
)


def named(index: int, folder: Any) -> str:
    """A process with its host and stage, as far as it has noted them.

    >>> named(3, Path("/nowhere"))
    'process 3'
    """
    try:
        note = json.loads((folder / f"process-{index}.json").read_bytes())
        return f"process {index} (host {note['host']}, in: {note['stage']})"
    except Exception:  # whatever is wrong with the note, the loss is told
        return f"process {index}"


def _folder(text: str) -> Any:
    if not text.startswith("gs://"):
        return Path(text)
    from etils import epath

    return epath.Path(text)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def main() -> None:
    """Reads standard input to its end."""
    parser = argparse.ArgumentParser()
    for name, kind in (("index", int), ("count", int), ("address", str)):
        parser.add_argument(name, type=kind)
    parser.add_argument("seconds", type=int)
    parser.add_argument("folder", type=_folder)
    given = parser.parse_args()
    text = sys.stdin.buffer.read().decode(errors="replace")
    line = explanation(text, **vars(given))
    if line is None:
        sys.stderr.write(text)
    else:
        print(f"ntkjax: process {given.index}: {line}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
