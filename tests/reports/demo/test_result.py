import pytest

from ntkjax.reports.demo.result import DemoResult
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values
from tests.reports.demo.run import demo_run


def test_round_trip(tmp_path):
    write_result(tmp_path / "demo.json", demo_run())
    assert read_result(tmp_path / "demo.json", DemoResult) == demo_run()


def test_another_schema_is_refused():
    values = plain_values(demo_run()) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(values, DemoResult)
