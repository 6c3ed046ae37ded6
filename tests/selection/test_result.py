import pytest

from ntkjax.selection.result import Repeats, SelectionResult
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values
from tests.reports.selection.run import bare_run, selection_run


@pytest.mark.parametrize("result", [selection_run("dualsft"), bare_run()])
def test_round_trip(tmp_path, result):
    write_result(tmp_path / "selection.json", result)
    assert read_result(tmp_path / "selection.json", SelectionResult) == result


def test_another_schema_is_refused():
    values = plain_values(selection_run()) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(values, SelectionResult)


def test_repeats_of_either_kind_are_counted():
    assert Repeats(exact=1, ngram=3, rows=()).total == 4
