"""Where a run is kept: a local folder, or one of a bucket, `gs://BUCKET/FOLDER`.

Remote paths are those of etils, which orbax uses, too. A bucket holds objects and knows
no folders: nothing need be made before it is written, nothing can be renamed, and every
object appears whole.
"""

import re
from pathlib import Path, PurePath

from etils import epath

from ntkjax.errors import InputError


RunPath = Path | epath.Path
"""Local or remote. What both have in common is used: reading, `exists`, `glob`."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_BUCKET = re.compile(r"gs://[^/]+")


def run_path(text: str) -> RunPath:
    """The path that a text names.

    >>> run_path("runs/one"), run_path("gs://bucket/runs/one")
    (PosixPath('runs/one'), PosixGPath('gs://bucket/runs/one'))

    Raises:
        InputError: If it is remote, and not in a bucket of Google Cloud Storage.
    """
    if not _SCHEME.match(text):
        return Path(text)
    if not _BUCKET.match(text):
        raise InputError(
            f"{text}: cannot be written; expected a local folder or gs://BUCKET/FOLDER."
        )
    return epath.Path(text)


def is_remote(path: PurePath) -> bool:
    """Whether a path lies in a bucket."""
    return isinstance(path, epath.Path)


def absolute(path: RunPath) -> RunPath:
    """The same path from the root; a remote one is so already."""
    return path if is_remote(path) else path.absolute()
