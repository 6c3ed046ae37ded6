import pytest

from tests.cli.world import build_world


@pytest.fixture
def world(tmp_path):
    return build_world(tmp_path)
