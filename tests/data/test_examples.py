import json

import pyarrow
import pytest
from pyarrow import parquet

from ntkjax.data.chat.messages import Message
from ntkjax.data.examples import Example, choose, read_examples, text_of
from ntkjax.data.pool import open_pool
from ntkjax.errors import InputError


GOOD = {"prompt": "p", "response": "r"}
CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def _choose(choices=("a", "b"), answer=1):
    return {**GOOD, "choices": choices, "answer": answer}


@pytest.fixture
def write(tmp_path):
    def write(*records, name="q.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        return path

    return write


@pytest.fixture
def write_parquet(tmp_path):
    def write(*records):
        path = tmp_path / "q.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)
        return path

    return write


def test_both_kinds_of_record_and_extra_columns(write):
    path = write(
        {"id": "a", "source": "s", **GOOD, "choices": ["r", "x"], "answer": 0},
        {"id": 7, "prompt": "", "response": " r ", "source": None, "more": {}},
        {"text": "whole"},
    )
    assert read_examples([path]) == [
        Example("a", "p", "r", "s", "q.jsonl:1", ("r", "x"), 0),
        Example("7", "", " r ", None, "q.jsonl:2"),
        Example("q.jsonl:3", None, "whole", None, "q.jsonl:3"),
    ]


def test_a_chat_keeps_its_turns(write):
    path = write(
        {"messages": CHAT},
        {"messages": [{"role": "system", "content": "s"}, *CHAT], "prompt": "copy"},
        {"messages": CHAT[:1], "choices": ["x", "y"], "answer": 1, "response": None},
        {"messages": CHAT, "choices": ["x", "a"], "answer": 1, "group": 3},
    )
    question, system = Message("user", "q"), Message("system", "s")
    more = {"messages": (question,)}
    assert read_examples([path]) == [
        Example("q.jsonl:1", "q", "a", None, "q.jsonl:1", **more),
        Example(
            *("q.jsonl:2", "s\nq", "a", None, "q.jsonl:2"), messages=(system, question)
        ),
        Example("q.jsonl:3", "q", "y", None, "q.jsonl:3", ("x", "y"), 1, **more),
        Example("q.jsonl:4", "q", "a", None, "q.jsonl:4", ("x", "a"), 1, "3", **more),
    ]
    assert text_of(read_examples([path])[1]) == "s\nq\na"


def test_byte_order_mark_blank_lines_and_line_ends(tmp_path):
    path = tmp_path / "q.json"
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "caf\xc3\xa9"}\r\n'
        b"\r\n   \n"
        b'{"text": "a\xe2\x80\xa8b"}'  # a line separator inside a string is no line end
    )
    first, second = read_examples([path])
    assert (first.response, first.location) == ("café", "q.json:1")
    assert (second.response, second.location) == ("a\u2028b", "q.json:4")


def test_parquet_is_like_json_lines(write_parquet):
    path = write_parquet(
        {"id": 1, **GOOD, "text": None, "choices": ["a", "b", "c"], "answer": 2},
        {"id": None, "prompt": None, "response": None, "text": "t", "choices": None},
    )
    assert read_examples([path]) == [
        Example("1", "p", "r", None, "q.parquet:1", ("a", "b", "c"), 2),
        Example("q.parquet:2", None, "t", None, "q.parquet:2"),
    ]


def test_chats_of_parquet_are_like_json_lines(write_parquet):
    """Columns of structs have every key; those that are null count as absent."""
    call = {"role": "tool", "content": "c", "name": None}
    path = write_parquet(
        {"messages": [*CHAT, call, CHAT[1]], **dict.fromkeys(GOOD)},
        {"messages": None, **GOOD},
    )
    chat, plain = read_examples([path])
    turns = (Message("user", "q"), Message("assistant", "a"), Message("tool", "c"))
    assert (chat.messages, chat.prompt, chat.response) == (turns, "q\na\nc", "a")
    assert (plain.messages, plain.prompt, plain.response) == (None, "p", "r")
    pool = open_pool([path])
    assert pool.read([1, 0]) == [plain, chat]
    pool.write_rows([0], path.parent / "chosen.parquet")
    (again,) = read_examples([path.parent / "chosen.parquet"])
    assert again.messages == turns


def test_choices_may_repeat_and_null_ones_are_none(write):
    path = write(_choose(["a", "b", "a"], 2), _choose(None, None))
    first, second = read_examples([path])
    assert (first.choices, first.answer) == (("a", "b", "a"), 2)
    assert (second.choices, second.answer) == (None, None)


def test_an_answer_without_choices_is_a_column_of_somebody_else(write):
    (example,) = read_examples([write(_choose(None, "forty-two"))])
    assert (example.choices, example.answer) == (None, None)


def test_files_of_one_name_are_told_apart(write):
    first, second = write(GOOD, name="a/q.jsonl"), write(GOOD, name="b/q.jsonl")
    other = write(GOOD, name="o.jsonl")
    ids = [example.id for example in read_examples([first, second, other])]
    assert ids == [f"{first}:1", f"{second}:1", "o.jsonl:1"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([GOOD], r"q\.jsonl line 2: expected a JSON object .*, got list\."),
        ({"response": "r"}, r'line 2: field "prompt" is missing; expected "prompt"'),
        ({"prompt": "p"}, r'line 2: field "response" is missing'),
        ({"prompt": "p", "response": None}, r'field "response" is missing'),
        ({}, r'line 2: field "prompt" is missing'),
        ({"prompt": 3, "response": "r"}, r'"prompt" must be a string, got int\.'),
        ({"prompt": "p", "response": ["r"]}, r'"response" must be a string, got list'),
        ({"text": 1.5}, r'field "text" must be a string, got float\.'),
        ({**GOOD, "source": 3}, r'field "source" must be a string, got int\.'),
        ({**GOOD, "id": 1.5}, r'"id" must be a string or an integer, got float\.'),
        ({**GOOD, "id": True}, r'"id" must be a string or an integer, got bool\.'),
        ({"prompt": "p", "response": ""}, r'field "response" is empty; fill it in'),
        ({"prompt": "p", "response": " \n\t"}, r'field "response" is empty'),
        ({"text": " "}, r'line 2: field "text" is empty'),
        ({**GOOD, "text": "t"}, r'line 2: "text" stands beside "prompt" or "response"'),
        ({"response": "r", "text": "t"}, r'"text" stands beside'),
        ({"messages": []}, r'"messages" must be a list of at least two objects with'),
        ({**GOOD, "messages": CHAT}, r'"messages" stands beside "response"; give one'),
        ({"text": "t", "messages": CHAT}, r'"messages" stands beside "text"; give one'),
        (
            {"messages": [*CHAT, {"role": "tool"}]},
            r'"messages\[2\]\.content" is missing',
        ),
        (_choose(answer=None), r'"choices" stands without "answer"; give the index'),
        (_choose("ab"), r'"choices" must be a list of at least two strings, got str\.'),
        (_choose(["a"]), r"a list of at least two strings, got list of 1\."),
        (_choose([]), r"a list of at least two strings, got list of 0\."),
        (_choose(["a", 1]), r'field "choices\[1\]" must be a string, got int\.'),
        (_choose(["a", None]), r'"choices\[1\]" must be a string, got NoneType\.'),
        (_choose([" \n", "b"]), r'field "choices\[0\]" is empty; fill it in\.'),
        (_choose(["a", "\udfff"]), r'"choices\[1\]" has half a surrogate pair'),
        (_choose(answer=True), r'"answer" must be the index of a choice .*, got bool'),
        (_choose(answer="a"), r'"answer" must be the index of a choice .*, got str'),
        (_choose(answer=1.0), r'"answer" must be the index of a choice .*, got float'),
        (_choose(answer=2), r'line 2: field "answer" is 2; expected 0 to 1, the index'),
        (_choose(answer=-1), r'field "answer" is -1; expected 0 to 1, the index'),
        ({"text": "a\ud800"}, r'"text" has half a surrogate pair at character 2;'),
    ],
)
def test_bad_records_are_named(write, record, message):
    path = write({"text": "fine"}, record)
    with pytest.raises(InputError, match=message) as caught:
        read_examples([path])
    assert "q.jsonl line 2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "\xff"}', r"q\.jsonl line 2: byte 11 is not UTF-8; save the file"),
        (b'{"text": }', r"q\.jsonl line 2: bad JSON at column 10 \(Expecting value\)"),
        (b"[", r"q\.jsonl line 2: bad JSON .*one JSON object on each line\.$"),
        (b"9" * 5000, r"q\.jsonl line 2: bad JSON at column 1 \(Exceeds the limit"),
        (b"[" * 100_000, r"q\.jsonl line 2: bad JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(InputError, match=message):
        read_examples([path])


def test_bad_parquet_rows_are_named(write_parquet):
    path = write_parquet(GOOD, {"prompt": "p", "response": " "})
    with pytest.raises(InputError, match=r'^q\.parquet row 2: field "response" is emp'):
        read_examples([path])


def test_foreign_columns_of_parquet_are_refused(tmp_path):
    path = tmp_path / "q.parquet"
    chat = [{"messages": [{"role": "user", "content": "c"}]}]
    for records, message in [
        (chat, r'q\.parquet row 1: field "messages" must be a list of at least two'),
        ([{"question": "q"}], r'q\.parquet row 1: field "prompt" is missing'),
    ]:
        parquet.write_table(pyarrow.Table.from_pylist(records), path)
        with pytest.raises(InputError, match=message):
            read_examples([path])


def test_damaged_parquet_is_named(write_parquet):
    path = write_parquet(*[{"text": f"text number {i}"} for i in range(100)])
    whole = path.read_bytes()
    header_gone = b"XXXX" + bytes(200) + whole[204:]
    for damaged in (b"", b"PAR1", whole[:-20], header_gone):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"q\.parquet: damaged Parquet after row"):
            read_examples([path])


def test_parquet_text_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "q.parquet"
    bad = pyarrow.array([b"fine", b"\xff"], pyarrow.binary()).cast(
        pyarrow.string(), safe=False
    )
    parquet.write_table(pyarrow.table({"text": bad}), path)
    with pytest.raises(InputError, match=r"q\.parquet: damaged Parquet .*utf-8"):
        read_examples([path])


def test_unreadable_paths_are_named(tmp_path):
    missing = tmp_path / "none.jsonl"
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read \(No such file"):
        read_examples([missing])
    with pytest.raises(
        InputError, match=r"cannot be read \(Is a directory\); expected"
    ):
        read_examples([tmp_path])


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_files_without_examples_are_named(write, tmp_path, content):
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(content)
    with pytest.raises(InputError, match=r"empty\.jsonl: no examples; expected"):
        read_examples([write(GOOD), empty])


def test_parquet_without_rows_is_named(tmp_path):
    path = tmp_path / "empty.parquet"
    parquet.write_table(pyarrow.table({"text": pyarrow.array([], "string")}), path)
    with pytest.raises(InputError, match=r"empty\.parquet: no examples"):
        read_examples([path])


def test_duplicate_ids_name_both_places(write):
    first = write({**GOOD, "id": "x"}, {**GOOD, "id": 5}, name="a.jsonl")
    second = write({**GOOD}, {**GOOD, "id": "5"}, name="b.jsonl")
    message = r'^b\.jsonl line 2: id "5" was already used at a\.jsonl line 2; give each'
    with pytest.raises(InputError, match=message):
        read_examples([first, second])


def test_a_file_given_twice_is_refused(write):
    path = write(GOOD)
    roundabout = path.parent / "." / ".." / path.parent.name / path.name
    with pytest.raises(InputError, match=r"q\.jsonl: the file is given 2 times; give"):
        read_examples([path, roundabout])


def _examples(num, name="q.jsonl"):
    return [Example(str(i), "p", "r", None, f"{name}:{i + 1}") for i in range(num)]


def test_choose_in_file_order():
    examples = _examples(5)
    chosen = choose(examples, 2, seed=0, shuffle=False, field="num")
    assert [e.id for e in chosen] == ["0", "1"]


def test_choose_shuffled_is_seeded_nested_and_without_repeats():
    examples = _examples(50)
    large = choose(examples, 50, seed=3, shuffle=True, field="num")
    small = choose(examples, 10, seed=3, shuffle=True, field="num")
    other = choose(examples, 10, seed=4, shuffle=True, field="num")
    assert small == large[:10]
    assert sorted(int(e.id) for e in large) == list(range(50))
    assert small != other
    assert small != examples[:10]


@pytest.mark.parametrize(
    ("examples", "num", "message"),
    [
        (_examples(5), 12, r"^num_queries 12: q\.jsonl has only 5 examples\.$"),
        (_examples(1), 2, r"^num_queries 2: q\.jsonl has only 1 example\.$"),
        (_examples(1) + _examples(2, "b.jsonl"), 4, r"q\.jsonl \+ b\.jsonl has only 3"),
        ([], 1, r"num_queries 1: the data has only 0 examples"),
    ],
)
def test_choose_refuses_impossible_numbers(examples, num, message):
    with pytest.raises(InputError, match=message):
        choose(examples, num, seed=0, shuffle=True, field="num_queries")


def test_shared_data_is_read(shared):
    paths = [
        shared / "data" / f"{kind}_{part}.jsonl"
        for kind in ("financial", "medical")
        for part in ("train", "eval")
    ]
    examples = read_examples(paths)
    assert len(examples) == 2000 + 2388 + 1200 + 2983
    assert all(e.prompt and e.response and e.source for e in examples)
    assert all(e.choices[e.answer] == e.response for e in examples)
