"""Damages of a file that a run reads again, and what each leaves of its bytes."""

import pathlib
from collections.abc import Iterator


DAMAGES = {
    "flipped": lambda content: (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    ),
    "truncated": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "deleted": None,
}


def damage_file(path: pathlib.Path, kind: str) -> None:
    """Does one of `DAMAGES` to a file."""
    if kind == "deleted":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[kind](path.read_bytes()))


def damages_of(folder: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, with every damage that changes it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for kind in DAMAGES if path.stat().st_size else ("deleted",):
                yield str(path.relative_to(folder)), kind
