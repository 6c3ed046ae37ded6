"""Files that grow line by line. Objects of a bucket cannot: they are written anew."""

import contextlib
import os
from collections.abc import Callable, Iterator

from ntkjax.store.atomic import full_disk_named, write_bytes
from ntkjax.store.run_path import RunPath, is_remote


def append_line(path: RunPath, line: str) -> None:
    """Adds a line, and ends one that a kill cut short before it.

    Raises:
        InputError: If the disk is full.
    """
    if is_remote(path):
        before = path.read_bytes() if path.exists() else b""
        write_bytes(path, before + line.encode() + b"\n")
        return
    with full_disk_named(path), path.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        is_whole = file.read(1) in (b"", b"\n")
        file.write((b"" if is_whole else b"\n") + line.encode() + b"\n")


@contextlib.contextmanager
def new_lines(path: RunPath) -> Iterator[Callable[[str], None]]:
    """Gives a function that adds a line to a file, which begins empty.

    A line is in a local file at once, and in a bucket when all are written or an error
    ends the writing.

    Raises:
        InputError: If the disk is full.
    """
    if is_remote(path):
        lines: list[str] = []
        try:
            yield lines.append
        finally:
            write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
        return
    with (
        full_disk_named(path),
        path.open("w", encoding="utf-8", buffering=1) as file,
    ):
        yield lambda line: print(line, file=file)
