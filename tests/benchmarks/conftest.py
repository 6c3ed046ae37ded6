import pytest

from benchmarks.subjects import random_subject


@pytest.fixture(scope="module")
def tiny():
    """A subject that needs no shared files."""
    return [random_subject()]
