"""Passes on the tiny world, with a stand-in for what they compute."""

import numpy as np
import pytest

from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.select import pool_passes
from ntkjax.commands.select.pool_passes import PoolCandidates, Stages, Unfinished
from ntkjax.data.pool import open_pool
from ntkjax.errors import InputError
from ntkjax.store.shards import NO_PART
from tests.commands.select.problem import MAX_LENGTH, NUM_POOL, write_problem
from tests.commands.world import build_world
from tests.damages import DAMAGES, damage_file


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("passes"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def pool(world):
    return open_pool([world.root / "pool.jsonl"])


@pytest.fixture
def candidates(world, pool, tmp_path):
    """Function (part, decides, max_length) ↦ candidates in shards of ten."""

    def candidates(part=(1, 1), decides=None, max_length=MAX_LENGTH, content="x"):
        encode = text_encoder(world.model, max_length)
        stages = Stages(tmp_path, decides or {}, 10, part)
        return PoolCandidates(pool, encode, stages, {"pool": content})

    return candidates


def numbers_of_ids(texts, advance):
    """The number in the id of each example."""
    advance(len(texts))
    return {"number": np.array([int(text.id[1:]) for text in texts], np.int64)}


def sum_of_ids(texts, advance):
    return {"sum": numbers_of_ids(texts, advance)["number"].sum(dtype=float).reshape(1)}


def refuse(texts, advance):
    raise AssertionError("computed again")


def test_rows_come_in_pool_order(candidates):
    found = candidates().compute("some numbers", {}, numbers_of_ids)
    np.testing.assert_array_equal(found.column("number"), np.arange(NUM_POOL))
    assert [len(tile) for tile in found.tiles("number")] == [10, 10, 10, 10, 1]


def test_some_of_the_candidates(candidates, pool):
    chosen = np.array([30, 3, 5])
    some = candidates().limited_to(chosen)
    assert len(some) == 3
    found = some.compute("some numbers", {}, numbers_of_ids)
    np.testing.assert_array_equal(found.column("number"), [3, 5, 30])
    texts = [example for block in some.texts() for example in block]
    assert texts == pool.read([3, 5, 30])
    assert some.sources() == [text.source for text in texts]
    assert [text.id for text in some.read(np.array([2, 0]))] == ["p30", "p3"]


def test_lengths_come_with_any_pass(candidates, tmp_path):
    noted = candidates()
    noted.compute("some numbers", {}, numbers_of_ids)
    lengths = [len(text.tokens) for text in noted.read(np.arange(NUM_POOL))]
    assert noted.lengths().tolist() == lengths
    assert not noted.was_cut().any()
    assert not list(tmp_path.glob("lengths-*"))
    # or from one of their own
    np.testing.assert_array_equal(candidates().lengths(), noted.lengths())
    assert len(list(tmp_path.glob("lengths-*"))) == 1
    chosen = np.array([7, 20])
    np.testing.assert_array_equal(
        noted.limited_to(chosen).lengths(), noted.lengths()[chosen]
    )


def test_cut_texts_are_marked(candidates):
    cut = candidates(max_length=8)
    assert cut.lengths().max() == 8
    assert cut.was_cut().all()


def test_a_finished_pass_computes_nothing(candidates):
    before = candidates().compute("some numbers", {"a": 1}, numbers_of_ids)
    after = candidates().compute("some numbers", {"a": 1}, refuse)
    np.testing.assert_array_equal(before.column("number"), after.column("number"))


@pytest.mark.parametrize("change", ["pass", "stages", "pool", "rows", "name"])
def test_whatever_decides_the_numbers_makes_another_pass(candidates, change):
    candidates().compute("some numbers", {"a": 1}, numbers_of_ids)
    other = candidates(decides={"model": "x"} if change == "stages" else None)
    if change == "pool":
        other = candidates(content="y")
    if change == "rows":
        other = other.limited_to(np.arange(NUM_POOL - 1))
    decides = {"a": 2} if change == "pass" else {"a": 1}
    name = "others" if change == "name" else "some numbers"
    with pytest.raises(AssertionError, match="computed again"):
        other.compute(name, decides, refuse)


def test_sums_over_shards(candidates):
    total = candidates().reduce("sums", {}, sum_of_ids)
    assert total["sum"].tolist() == [sum(range(NUM_POOL))]
    again = candidates().reduce("sums", {}, refuse)
    assert again["sum"].tolist() == total["sum"].tolist()


def test_what_is_found_once_is_kept_by_all_parts(candidates, tmp_path):
    def refuse():
        raise AssertionError("computed again")

    third = {"a": np.array([1 / 3]), "b": np.array(2.0)}
    for part in ((2, 3), NO_PART):
        found = candidates(part).keep(f"thing {part[0]}", {}, lambda: third)
        assert found["a"].dtype == np.float64
        assert found["a"] == np.float32(1 / 3)
        again = candidates().keep(f"thing {part[0]}", {}, refuse)
        assert {k: v.tolist() for k, v in again.items()} == {
            k: v.tolist() for k, v in found.items()
        }
    assert len(list(tmp_path.glob("thing-2-*.safetensors"))) == 1
    for other in (candidates(content="y"), candidates().limited_to(np.arange(3))):
        with pytest.raises(AssertionError, match="computed again"):
            other.keep("thing 2", {}, refuse)
    with pytest.raises(AssertionError, match="computed again"):
        candidates().keep("thing 2", {"target": 1}, refuse)


def test_damaged_kept_values_are_computed_again(candidates, tmp_path, capsys):
    values = {"a": np.array([1 / 3, 2]), "count": np.array(2**25 + 1)}
    first = candidates().keep("thing", {}, lambda: values)
    assert first["count"] == 2**25 + 1
    (path,) = tmp_path.glob("thing-*")
    content = path.read_bytes()
    for kind in DAMAGES:
        damage_file(path, kind)
        again = candidates().keep("thing", {}, lambda: values)
        assert {k: v.tolist() for k, v in again.items()} == {
            k: v.tolist() for k, v in first.items()
        }
        assert path.read_bytes() == content
        said = capsys.readouterr().err
        line = f"{path}: damaged; its values are computed again.\n"
        assert said == ("" if kind == "deleted" else line)


def test_kept_values_that_are_damaged_at_once(candidates, monkeypatch):
    monkeypatch.setattr(pool_passes, "write_bytes", lambda p, c: p.write_bytes(c[:-1]))
    with pytest.raises(InputError, match=r"thing-.*damaged; run the same command aga"):
        candidates().keep("thing", {}, lambda: {"a": np.array(1.0)})


@pytest.mark.parametrize("kind", ["compute", "reduce"])
def test_parts_wait_for_each_other(candidates, kind):
    def run(part):
        compute = numbers_of_ids if kind == "compute" else sum_of_ids
        return getattr(candidates(part), kind)("some numbers", {}, compute)

    with pytest.raises(Unfinished) as caught:
        run((2, 3))
    assert (caught.value.what, caught.value.missing) == ("some numbers", 3)
    assert (caught.value.shards, caught.value.total) == ([0, 2, 3], 5)
    with pytest.raises(Unfinished, match="some numbers: 3 of 5 shards are missing"):
        run(NO_PART)  # it computes nothing
    with pytest.raises(Unfinished, match="some numbers: 1 of 5 shards are missing"):
        run((1, 3))
    found = run((3, 3))
    if kind == "compute":
        np.testing.assert_array_equal(found.column("number"), np.arange(NUM_POOL))
    else:
        assert found["sum"].tolist() == [sum(range(NUM_POOL))]
