import gc
import json
import random
import tracemalloc

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings, strategies as st
from pyarrow import parquet

import ntkjax.data.pool
from ntkjax.data.examples import read_examples
from ntkjax.data.pool import open_pool
from ntkjax.errors import InputError


GOOD = {"prompt": "p", "response": "r"}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_parquet(path, *records, group=3):
    rows = pyarrow.Table.from_pylist(list(records))
    parquet.write_table(rows, path, row_group_size=group)
    return path


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
RECORDS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXTS),
    st.builds(lambda p, r: {"prompt": p, "response": r, "id": None}, st.text(), TEXTS),
    st.builds(lambda a, b: {**GOOD, "choices": [a, b], "answer": 1}, TEXTS, TEXTS),
)


@st.composite
def contents(draw):
    """A file of odd line ends, blank lines, a byte-order mark, raw and escaped text."""
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    lines = []
    for record in draw(st.lists(RECORDS, min_size=1, max_size=5)):
        lines += draw(st.lists(st.sampled_from(["\n", " \r\n", "\t\n"]), max_size=2))
        text = json.dumps(record, ensure_ascii=draw(st.booleans()))
        space = draw(st.sampled_from(["", " ", "\t"]))
        end = draw(st.sampled_from(["\n", "\r\n", " \r\r\n", "\n\n"]))
        lines.append(space + text + end)
    last = draw(st.sampled_from(["", "\n", "\r\n"]))
    return mark + ("".join(lines).rstrip("\r\n") + last).encode()


def lines_of(content):
    """The slow twin: the lines that are not blank, without mark and line end."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines if line.decode().strip()]


@settings(max_examples=30, deadline=None)
@given(
    files=st.lists(contents(), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_same_examples_and_bytes_as_reading_all(tmp_path_factory, files, seed):
    folder = tmp_path_factory.mktemp("pool")
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    examples = read_examples(paths)
    lines = [line for content in files for line in lines_of(content)]
    pool = open_pool(paths)
    assert (pool.paths, pool.format.name) == (tuple(paths), "JSON lines")
    assert len(pool) == len(examples) == len(lines)
    assert pool.read(range(len(pool))) == examples
    rows = random.Random(seed).choices(range(len(pool)), k=7)
    assert pool.read(rows) == [examples[row] for row in rows]
    assert pool.ids(rows) == [examples[row].id for row in rows]
    assert pool.sources(rows) == [examples[row].source for row in rows]
    out = folder / "out.jsonl"
    pool.write_rows(np.array(rows), out)
    assert out.read_bytes() == b"".join(lines[row] + b"\n" for row in rows)


def test_parquet_is_like_reading_all(tmp_path):
    records = [
        {"id": str(n), **GOOD, "choices": ["a", "b"], "answer": n % 2, "more": n / 2}
        for n in range(17)
    ]
    one = write_parquet(tmp_path / "a.parquet", *records[:10])
    two = write_parquet(tmp_path / "b.parquet", *records[10:])
    examples = read_examples([one, two])
    pool = open_pool([one, two])
    assert pool.format.name == "Parquet"
    assert pool.read(range(len(pool))) == examples
    rows = [16, 3, 10, 3, 9]
    assert pool.read(rows) == [examples[row] for row in rows]
    pool.write_rows(rows, tmp_path / "out.parquet")
    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert found == [records[row] for row in rows]


def test_rows_that_are_not_there_are_an_error(tmp_path):
    pool = open_pool([write(tmp_path / "q.jsonl", GOOD, GOOD)])
    for rows in ([0, 2], [-1, 0], np.array([5])):
        with pytest.raises(IndexError, match="of 2"):
            pool.read(rows)
        with pytest.raises(IndexError, match="of 2"):
            pool.sources(rows)
        with pytest.raises(IndexError, match="of 2"):
            pool.write_rows(rows, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt": "p"', r"^q\.jsonl line 6001: bad JSON at column"),
        (b'{"prompt": "p"}', r'^q\.jsonl line 6001: field "response" is missing'),
    ],
)
def test_a_bad_line_in_the_middle_of_a_long_pool(tmp_path, line, message):
    good = json.dumps(GOOD).encode()
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n".join([good] * 6000 + [line] + [good] * 3999))
    with pytest.raises(InputError, match=message):
        open_pool([path])


def test_files_that_cannot_be_a_pool_are_named(tmp_path):
    lines = write(tmp_path / "q.jsonl", GOOD)
    table = write_parquet(tmp_path / "q.parquet", {"text": "t"})
    other = write_parquet(tmp_path / "o.parquet", GOOD)
    empty = write(tmp_path / "empty.jsonl")
    for paths, message in [
        (
            [lines, table],
            r"q\.parquet: JSON lines and Parquet in one pool \(.*jsonl",
        ),
        ([table, lines], r"q\.jsonl: JSON lines and Parquet in one pool"),
        ([table, other], r"o\.parquet: expected the columns of .*q\.parquet"),
        ([lines, empty], r"empty\.jsonl: no examples"),
        ([lines, lines], r"q\.jsonl: the file is given 2 times"),
        ([lines, tmp_path / "none"], r"none: cannot be read \(No such file"),
    ]:
        with pytest.raises(InputError, match=message):
            open_pool(paths)


def test_the_first_repeated_id_is_named_over_all_files(tmp_path):
    ids = [f"id {n}" for n in range(50)]
    first = write(tmp_path / "a.jsonl", *({**GOOD, "id": i} for i in ids))
    repeated = ["new", "id 31", "id 7", "new"]
    second = write(tmp_path / "b.jsonl", *({**GOOD, "id": i} for i in repeated))
    with pytest.raises(InputError) as expected:
        read_examples([first, second])
    with pytest.raises(InputError) as found:
        open_pool([first, second])
    assert str(found.value) == str(expected.value)
    message = 'b.jsonl line 2: id "id 31" was already used at a.jsonl line 32; give'
    assert str(found.value).startswith(message)


def test_a_repeated_id_of_parquet_is_named(tmp_path):
    records = [{"id": f"{n % 7}", "text": "t"} for n in range(9)]
    path = write_parquet(tmp_path / "q.parquet", *records)
    message = r'^q\.parquet row 8: id "0" was already used at q\.parquet row 1;'
    with pytest.raises(InputError, match=message):
        open_pool([path])


def test_ids_of_equal_hashes_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(ntkjax.data.pool, "_hash", lambda identity: len(identity))
    fine = [{**GOOD, "id": i} for i in ("a", "bb", "c", "dd", "e")]
    path = write(tmp_path / "q.jsonl", *fine)
    assert len(open_pool([path])) == 5
    write(path, *fine, {**GOOD, "id": "c"})
    with pytest.raises(InputError, match=r'line 6: id "c" was already .* line 3;'):
        open_pool([path])


def test_a_file_that_changed_is_an_error(tmp_path):
    path = write(tmp_path / "q.jsonl", GOOD)
    pool = open_pool([path])
    write(path, GOOD, GOOD)
    with pytest.raises(InputError, match=r"q\.jsonl: changed while it was in use"):
        pool.read([0])


@pytest.mark.slow
def test_a_long_pool_takes_little_memory(tmp_path):
    num = 4000  # tracemalloc is slow
    record = json.dumps({"prompt": "p" * 1000, "response": "r" * 1000})
    path = tmp_path / "q.jsonl"
    path.write_text(f"{record}\n" * num)
    open_pool([write(tmp_path / "warm.jsonl", GOOD)])
    gc.collect()
    tracemalloc.start()
    try:
        pool = open_pool([path])
        gc.collect()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 36 bytes are kept per row, and its id of 12. During the pass it is 8 more, up to
    # an eighth more where an array grows, some copies of the hashes while they are
    # sorted, and a file's buffer.
    assert len(pool) == num
    assert kept / num < 60
    assert peak / num < 180
