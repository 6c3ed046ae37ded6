"""A process alone; several are in tests/commands/test_{several,lost}_processes.py."""

import os
import subprocess
import sys

import pytest
from jax.errors import JaxRuntimeError

from ntkjax.devices import processes


def test_alone_nothing_is_asked_of_others(tmp_path):
    assert not processes.is_joined()
    assert processes.is_first()
    processes.require_same({"anything": object})
    assert processes.from_first({"a": 1}) == {"a": 1}
    processes.note_stage("somewhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"SLURM_STEP_NODELIST": "a,b"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"JAX_COORDINATOR_ADDRESS": "host:1"}, True),
    ],
)
def test_clusters_are_known_by_their_variables(monkeypatch, variables, expected):
    for name in ("SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes.in_cluster() == expected


def test_one_of_one_is_alone(tmp_path):
    """Joined by itself: nothing is noted, and what it says arrives."""
    program = """
import sys
from pathlib import Path
from ntkjax.devices import processes
from tests.commands.session import free_port
address = f"127.0.0.1:{free_port()}"
processes.join(processes.Meeting(address, 1, 0, 60, 10), Path(sys.argv[1]))
assert not processes.is_joined() and processes.is_first()
print("out")
print("err", file=sys.stderr)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "notes")],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "out\n", "err\n")
    assert not (tmp_path / "notes").exists()


@pytest.mark.parametrize(
    ("error", "may_be", "expected"),
    [
        (JaxRuntimeError("INTERNAL: Gloo all-reduce failed: closed"), True, True),
        (
            JaxRuntimeError(
                "INTERNAL: NCCL operation ncclAllReduce failed: remote process exited "
                "or there was a network error"
            ),
            True,
            True,
        ),
        (JaxRuntimeError("INVALID_ARGUMENT: shapes"), True, False),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory by gloo"), False, False),
        (RuntimeError("gloo"), False, False),
    ],
)
def test_what_a_lost_process_looks_like(error, may_be, expected):
    assert processes.may_be_loss(error) == may_be
    assert processes.is_loss(error) == expected
