import pyarrow
from pyarrow import parquet

from ntkjax.data.formats.parquet import read_rows
from ntkjax.data.formats.records import Record


def test_parquet_gives_the_fields_that_are_there(tmp_path):
    path = tmp_path / "q.parquet"
    values = [{"a": 1, "b": "x", "c": [1]}, {"a": None, "b": "y", "c": []}]
    parquet.write_table(pyarrow.Table.from_pylist(values), path)
    with path.open("rb") as file:
        records = list(read_rows(file, "q", ("b", "a", "missing")))
    assert records == [
        Record({"b": "x", "a": 1}, "q", "row", 1),
        Record({"b": "y", "a": None}, "q", "row", 2),
    ]
