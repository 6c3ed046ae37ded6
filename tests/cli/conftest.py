import os

import pytest

from tests.cli.world import build_world


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world of its own; JAX keeps the devices that the suite started with."""
    monkeypatch.setenv(
        "JAX_NUM_CPU_DEVICES", os.environ.get("JAX_NUM_CPU_DEVICES", "2")
    )
    return build_world(tmp_path)
