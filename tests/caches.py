"""What is compiled once for all workers, for commands that tests start, and next time.

Both caches lie in `.pytest_cache`; whoever deletes it starts from nothing.
"""

import os
import pathlib
import sys

import jax


FOLDER = pathlib.Path(__file__).resolve().parents[1] / ".pytest_cache"

_PROGRAMS = {
    "jax_compilation_cache_dir": str(FOLDER / "programs"),
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def keep_bytecode() -> None:
    """Undoes PYTHONDONTWRITEBYTECODE, which images of containers like to set.

    Without bytecode each of the processes that tests start compiles JAX and
    Transformers anew: 6 CPU seconds instead of 2.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = str(FOLDER / "bytecode")
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"]
        sys.dont_write_bytecode = False


def keep_programs() -> None:
    """Turns JAX's cache of compiled programs on, here and in commands."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    for name, value in _PROGRAMS.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
