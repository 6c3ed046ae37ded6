import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from ntkjax.data.formats.parquet_rows import BLOCK, ParquetRows
from ntkjax.data.formats.records import Record, data_files
from ntkjax.errors import InputError


SCHEMA = pyarrow.schema(
    [
        ("text", pyarrow.large_string()),
        ("kind", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
        pyarrow.field("extra", pyarrow.list_(pyarrow.int8())),
    ],
    metadata={"made": "here"},
)


def table(start, stop):
    values = [
        {"text": f"é {n}", "kind": f"k{n % 3 + start}", "extra": [n % 7] * (n % 4)}
        for n in range(start, stop)
    ]
    return pyarrow.Table.from_pylist(values, schema=SCHEMA)


@pytest.fixture
def stored(tmp_path):
    """Two files of 10 and 7 rows, in row groups of 4, and all rows in one table."""
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, rows in zip(paths, (table(0, 10), table(10, 17)), strict=True):
        parquet.write_table(rows, path, row_group_size=4)
    rows = ParquetRows(data_files(paths), ("missing", "text"))
    return rows, pyarrow.concat_tables([table(0, 10), table(10, 17)]).to_pylist()


ORDERS = ([16, 0, 9, 10, 0, 5], list(range(17)), [3], [])


@pytest.mark.parametrize("order", ORDERS)
def test_records_in_any_order_and_more_than_once(stored, order):
    rows, _ = stored
    found = rows.records(np.array(order, np.int64))
    assert found == [
        Record({"text": f"é {n}"}, "a.parquet", "row", n + 1)
        if n < 10
        else Record({"text": f"é {n}"}, "b.parquet", "row", n - 9)
        for n in order
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_written_with_all_columns(stored, tmp_path, order):
    rows, values = stored
    out = tmp_path / "out.parquet"
    rows.write(np.array(order, np.int64), out)
    found = parquet.read_table(out)
    source = parquet.read_schema(tmp_path / "a.parquet")
    assert found.schema.equals(source, check_metadata=True)
    assert found.to_pylist() == [values[row] for row in order]


def test_many_rows_are_written_in_blocks(tmp_path):
    path, out = tmp_path / "a.parquet", tmp_path / "out.parquet"
    values = np.arange(BLOCK + 10)
    parquet.write_table(pyarrow.table({"text": values.astype(str)}), path)
    rows = ParquetRows(data_files([path]), ("text",))
    order = np.random.default_rng(0).permutation(len(values))
    rows.write(order, out)
    assert parquet.ParquetFile(out).num_row_groups == 2
    assert parquet.read_table(out)["text"].to_pylist() == order.astype(str).tolist()


def test_only_the_last_row_group_is_kept(stored, monkeypatch):
    rows, _ = stored
    read = []
    whole = parquet.ParquetFile.read_row_group

    def counted(self, group, columns=None):
        read.append(group)
        return whole(self, group, columns=columns)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counted)
    for start in range(0, 10, 2):
        rows.records(np.arange(start, start + 2))
    assert read == [0, 1, 2]
    rows.records(np.array([0, 9, 1, 8]))
    assert read == [0, 1, 2, 0, 2]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"text": ["t"]}, r"but differs in n;"),
        ({"text": ["t"], "n": ["1"]}, r"but differs in n;"),
        ({"m": [1], "text": ["t"], "n": [1]}, r"but differs in m;"),
        ({"n": [1], "text": ["t"]}, r"but has them in another order;"),
    ],
)
def test_files_of_other_columns_are_refused(tmp_path, other, reason):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    parquet.write_table(pyarrow.table({"text": ["s"], "n": [1]}), first)
    parquet.write_table(pyarrow.table(other), second)
    message = rf"b\.parquet: expected the columns of .*a\.parquet, {reason.rstrip(';')}"
    with pytest.raises(InputError, match=message):
        ParquetRows(data_files([first, second]), ("text",))


def test_a_file_that_changed_is_named(stored, tmp_path):
    rows, _ = stored
    parquet.write_table(table(10, 18), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: changed while it was in use"):
        rows.records(np.array([12]))
