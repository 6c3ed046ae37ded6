import dataclasses

import pytest

from ntkjax.fidelity.result import FidelityResult
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values
from tests.reports.fidelity.synthetic import run


@pytest.fixture(scope="module")
def result():
    return run()[0]


def test_round_trip(result, tmp_path):
    bare = dataclasses.replace(result, adapter=None, sketches=(), stability=None)
    for found in (result, bare):
        write_result(tmp_path / "fidelity.json", found)
        assert read_result(tmp_path / "fidelity.json", FidelityResult) == found


def test_another_schema_is_refused(result):
    values = plain_values(result) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(values, FidelityResult)
