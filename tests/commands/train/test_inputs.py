"""Which examples train, and on which the loss is measured. Masks: tests/models."""

import pytest

from ntkjax.commands.train.inputs import read_texts
from ntkjax.errors import InputError
from tests.commands.train.test_run import settings
from tests.commands.world import NUM_QUERIES, build_world, write_records


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def read(world, **changes):
    return read_texts(settings(world, **changes), world.model)


def test_the_held_out_share_is_no_part_of_training(world):
    texts = read(world, validation_share=0.3)
    trained = {example.id for source in texts.sources for example in source}
    held_out = {example.id for example in texts.validation}
    assert len(held_out) == 15
    assert len(trained) == 35
    assert not trained & held_out
    other = read(world, validation_share=0.3, seed=1)
    assert held_out != {example.id for example in other.validation}
    assert [len(source) for source in texts.sources] == [
        sum(name.startswith(letter) for name in trained) for letter in "qc"
    ]


def test_general_text_is_no_part_of_training(world):
    texts = read(world, data=(world.candidates,), retain=(world.queries,))
    assert [example.id for example in texts.retention] == [
        f"q{index}" for index in range(NUM_QUERIES)
    ]
    assert len(texts.sources) == 1
    assert {example.id[0] for example in texts.sources[0]} == {"c"}
    assert read(world).retention == []


@pytest.mark.parametrize("name", ["validation", "retain"])
def test_text_to_measure_on_needs_something_to_predict(tmp_path, name):
    """One token is left of each text, and nothing stands before it."""
    world = build_world(tmp_path)
    world.edit_config(bos_token_id=None)
    for path in (world.queries, world.candidates):
        write_records(path, [{"id": path.stem, "text": "ab"}])
    files = {"data": (world.queries,), name: (world.candidates,)}
    with pytest.raises(InputError, match="'candidates' has no token to predict"):
        read(world, max_length=1, **files)
