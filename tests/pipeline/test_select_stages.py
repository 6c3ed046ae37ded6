"""Stages on the tiny world, with a stand-in for what a pass computes."""

import numpy as np
import pytest

from ntkjax.data.pool import open_pool
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.models.adapter import read_adapter
from ntkjax.models.lora import LoraSettings
from ntkjax.models.text_encoder import text_encoder
from ntkjax.pipeline.select_stages import (
    PoolPasses,
    Unfinished,
    adapter_hash,
    columns,
    embed_and_vote,
    publish_adapter,
    warm_up,
)
from ntkjax.pipeline.setup import prepare
from ntkjax.selection.passes import Batching
from ntkjax.store.run_directory import read_json
from ntkjax.training.settings import TrainingSettings
from tests.cli.world import build_world
from tests.pipeline.select_problem import (
    MAX_LENGTH,
    NUM_POOL,
    NUM_TARGET,
    write_problem,
)


ROWS = np.arange(NUM_POOL, dtype=np.int64)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("stages"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def inputs(world):
    """Pool, encoder, tokenized target."""
    from ntkjax.data.examples import read_examples

    encode = text_encoder(world.model, MAX_LENGTH)
    target = encode(read_examples([world.root / "target.jsonl"]))
    return open_pool([world.root / "pool.jsonl"]), encode, target


@pytest.fixture(scope="module")
def prepared(world):
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    adapter = world.root / "start"
    return prepare(world.model, lora, adapter, dtype="float32", seed=0, vocab_size=64)


@pytest.fixture
def passes(inputs, tmp_path):
    def passes(part=(1, 1), identity=None, max_length=MAX_LENGTH):
        pool, encode, _ = inputs
        encode = type(encode)(**(vars(encode) | {"max_length": max_length}))
        return PoolPasses(pool, encode, tmp_path, identity or {"seed": 0}, 10, part)

    return passes


def numbers_of_ids(texts, advance):
    """The number in the id of each example."""
    advance(len(texts))
    return {"number": np.array([int(text.id[1:]) for text in texts], np.int64)}


def test_rows_come_in_order_whatever_the_shards(passes, inputs):
    _, encode, _ = inputs
    rows = np.array([3, 5, *range(10, 35)], np.int64)
    store = passes().run("numbers", rows, numbers_of_ids)
    number, tokens, was_cut = columns(store, "number", "tokens", "was_cut")
    np.testing.assert_array_equal(number, rows)
    texts = encode(inputs[0].read(rows))
    assert tokens.tolist() == [len(text.tokens) for text in texts]
    assert (tokens.dtype, was_cut.any()) == (np.int32, False)
    assert store.num_shards == 3


def test_cut_texts_are_marked(passes):
    store = passes(max_length=8).run("numbers", ROWS, numbers_of_ids)
    tokens, was_cut = columns(store, "tokens", "was_cut")
    assert tokens.max() == 8
    assert was_cut.all()


def test_a_finished_pass_computes_nothing(passes):
    def refuse(texts, advance):
        raise AssertionError("computed again")

    before = columns(passes().run("numbers", ROWS, numbers_of_ids), "number")
    after = columns(passes().run("numbers", ROWS, refuse), "number")
    np.testing.assert_array_equal(before, after)


def test_parts_wait_for_each_other(passes):
    with pytest.raises(Unfinished) as caught:
        passes((2, 3)).run("numbers", ROWS, numbers_of_ids)
    assert (caught.value.what, caught.value.missing) == ("numbers", 3)
    assert caught.value.total == 5
    with pytest.raises(Unfinished, match="numbers: 1 of 5 shards are missing"):
        passes((1, 3)).run("numbers", ROWS, numbers_of_ids)
    store = passes((3, 3)).run("numbers", ROWS, numbers_of_ids)
    np.testing.assert_array_equal(columns(store, "number")[0], ROWS)


@pytest.mark.parametrize("change", ["identity", "rows"])
def test_shards_of_another_run_are_refused(passes, change):
    passes().run("numbers", ROWS, numbers_of_ids)
    identity = {"seed": 1} if change == "identity" else None
    rows = ROWS[::-1].copy() if change == "rows" else ROWS
    with pytest.raises(InputError, match="belongs to another run"):
        passes(identity=identity).run("numbers", rows, numbers_of_ids)


def test_neighbors_may_depend_on_the_tokens(passes, prepared, inputs):
    seen = []

    def num_neighbors(tokens):
        seen.append(tokens)
        return 3

    found = embed_and_vote(
        passes(),
        prepared.model,
        prepared.theta,
        inputs[2],
        Batching("all", 8, MAX_LENGTH, data_mesh()),
        num_neighbors,
    )
    np.testing.assert_array_equal(seen[0], found.tokens)
    assert found.votes.votes.sum() == 3 * NUM_TARGET
    assert len(found.votes.similarity) == len(found.was_cut) == NUM_POOL


def test_the_first_adapter_that_is_published_stays(prepared, tmp_path):
    first = {name: leaf + 1 for name, leaf in prepared.theta.items()}
    publish_adapter(tmp_path, first, prepared.model, "base")
    before = adapter_hash(tmp_path)
    publish_adapter(tmp_path, prepared.theta, prepared.model, "base")
    assert adapter_hash(tmp_path) == before
    found = read_adapter(tmp_path / "adapter", prepared.model)
    for name, leaf in first.items():
        np.testing.assert_array_equal(found[name], leaf)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_that_cannot_be_published_is_an_error(prepared, tmp_path):
    """Not the silence that is right when another job was first."""
    out = tmp_path / "absent"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.rename", _refuse)
        with pytest.raises(PermissionError):
            publish_adapter(out, prepared.theta, prepared.model, "base")


def _refuse(*arguments):
    raise PermissionError("no")


def test_warm_up_is_read_from_disk_the_second_time(prepared, inputs, tmp_path):
    settings = TrainingSettings(steps=3, batch_size=4, learning_rate=0.05)

    def warm(out, seed=0, part=(1, 1)):
        return warm_up(
            out,
            prepared.model,
            prepared.theta,
            inputs[2],
            settings,
            seed=seed,
            max_length=MAX_LENGTH,
            mesh=data_mesh(),
            part=part,
            base_name="base",
        )

    theta, history = warm(tmp_path / "a")
    assert [row["step"] for row in history] == [1, 2, 3]
    assert all(row.keys() == {"step", "loss", "learning_rate"} for row in history)
    assert read_json(tmp_path / "a" / "warmup" / "history.json") == history
    # another seed changes nothing any more, and another part's job neither
    again, its_history = warm(tmp_path / "a", seed=1, part=(2, 2))
    assert its_history == history
    for name, leaf in theta.items():
        np.testing.assert_array_equal(leaf, again[name])
    warm(tmp_path / "b", part=(2, 3))
    assert adapter_hash(tmp_path / "a") == adapter_hash(tmp_path / "b")
    warm(tmp_path / "c", seed=1)
    assert adapter_hash(tmp_path / "a") != adapter_hash(tmp_path / "c")
    assert not list(tmp_path.glob("*/warmup/checkpoints*"))
