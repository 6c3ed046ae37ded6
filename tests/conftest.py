"""Settings of every test: no network, strict dtypes, two fake CPU devices.

What XLA compiled once is kept for the rest of the run, also for the other worker and
for the commands that tests start: compiling is most of what the suite does.
"""

import os
import pathlib
import tempfile

import jax
import pytest


os.environ["HF_HUB_OFFLINE"] = "1"
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    PROGRAMS = tempfile.TemporaryDirectory(prefix="ntkjax-programs-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

SHARED = pathlib.Path(
    os.environ.get(
        "NTKJAX_SHARED", pathlib.Path(__file__).resolve().parents[2] / "shared"
    )
)


@pytest.fixture(scope="session")
def shared():
    """The folder of real models and data that a developer's checkout has beside it."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared models and data at {SHARED} (set NTKJAX_SHARED)")
    return SHARED


@pytest.fixture
def x64():
    """float64 for the oracles of one test."""
    with jax.enable_x64(True):
        yield
