"""Bytecode for all workers, and for commands that tests start, in `.pytest_cache`.

JAX's cache of compiled programs stays off: XLA on CPUs aborts when it writes some.
"""

import os
import pathlib
import sys


FOLDER = pathlib.Path(__file__).resolve().parents[1] / ".pytest_cache"


def keep_bytecode() -> None:
    """Undoes PYTHONDONTWRITEBYTECODE, which images of containers like to set.

    Without bytecode each of the processes that tests start compiles JAX and
    Transformers anew.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = str(FOLDER / "bytecode")
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"]
        sys.dont_write_bytecode = False
