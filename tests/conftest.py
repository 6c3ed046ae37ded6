"""Settings of every test: no network, strict dtypes, two fake CPU devices."""

import os
import pathlib

import jax
import pytest

from tests.bucket_server import Bucket, prepare_client, reset, serving
from tests.bytecode import keep_bytecode
from tests.commands.world import build_world
from tests.durations import Recorder, longest_first


os.environ["HF_HUB_OFFLINE"] = "1"
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
keep_bytecode()

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


MAPS = pathlib.Path("/proc/self/maps")

TESTS = pathlib.Path(__file__).resolve().parent
STAGES = {"benchmarks", "cli", "commands", "evaluation", "examples"}
STAGES |= {"passes", "runs", "selection", "settings"}
STAGES |= {"test_notebooks.py", "test_readme.py"}
"""Tests that are about stages of runs, and spend most of their time in XLA.
Their programs are compiled with few optimizations, and so are those of commands that
they start. Tests of derivatives, kernels, models and memory compile as users do."""

_FEW = "JAX_DISABLE_MOST_OPTIMIZATIONS"


def is_stage(path: pathlib.Path) -> bool:
    return path.relative_to(TESTS).parts[0] in STAGES


def pytest_addoption(parser):
    text = "write tests/durations.json, which decides the order of the files"
    parser.addoption("--record-durations", action="store_true", help=text)


def pytest_configure(config):
    if config.getoption("record_durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder())


@pytest.hookimpl(trylast=True)  # when `-m` has left out what is not wanted
def pytest_collection_modifyitems(items):
    """XLA's level changes once, and no worker is left alone with a long file."""
    longest_first(items)
    items.sort(key=lambda item: is_stage(item.path))


@pytest.fixture(scope="module", autouse=True)
def compiled_programs(request):
    """Optimized or not; forgotten before there are too many for one process.

    On CPUs each takes several memory maps, of which Linux allows a process 65,530; at
    that number XLA ends with a segmentation fault.
    """
    few = is_stage(request.path)
    if few != (os.environ.get(_FEW) == "1"):
        os.environ[_FEW] = str(int(few))
        jax.config.update(_FEW.lower(), few)
        jax.clear_caches()
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def _bucket():
    """One for all tests: the libraries keep the first address that they see."""
    with serving(Bucket()) as bucket, pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment().items():
            patch.setenv(name, value)
        prepare_client()
        yield bucket


@pytest.fixture
def bucket(_bucket):
    """An empty bucket of Google Cloud Storage on this machine."""
    reset(_bucket)
    yield _bucket
    reset(_bucket)


@pytest.fixture
def x64():
    """float64 for the oracles of one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with a model and texts; commands get the devices of the suite."""
    monkeypatch.setenv(
        "JAX_NUM_CPU_DEVICES", os.environ.get("JAX_NUM_CPU_DEVICES", "2")
    )
    return build_world(tmp_path)
