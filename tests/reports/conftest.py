"""One synthetic run for all tests of the reports."""

import pytest

from tests.reports.fidelity.synthetic import run


@pytest.fixture(scope="session")
def first_run():
    return run()


@pytest.fixture
def result(first_run):
    return first_run[0]


@pytest.fixture
def arrays(first_run):
    return dict(first_run[1])
