import itertools
import json
import re

import pytest

from ntkjax.data.examples import read_examples
from ntkjax.data.world import (
    NUM_TRAIN,
    POOL_SIZE,
    make_world,
    pretraining_texts,
    write_world,
)
from ntkjax.data.world_words import (
    DISTRACTORS,
    DOMAINS,
    NEW_THINGS,
    OLD_THINGS,
    SKILLS,
)


@pytest.fixture(scope="module")
def world():
    return make_world(3)


def thing_of(record) -> str:
    words = re.findall(r"[a-z]+", record["prompt"])
    (thing,) = {thing for thing in NEW_THINGS if thing in words}
    return thing


def test_a_seed_is_a_world(world):
    assert make_world(3) == world
    other = make_world(4)
    told = lambda world: {(r["prompt"], r["response"]) for r in world.pool}
    share = len(told(world) & told(other)) / len(world.pool)
    assert share < 0.25  # one value in eight agrees by chance


def test_the_pool_tells_every_fact_in_every_wording(world):
    assert len(world.pool) == POOL_SIZE == 24 * (12 * 5 + 8 * 4)
    assert len({record["id"] for record in world.pool}) == len(world.pool)
    assert {r["source"] for r in world.pool} == SKILLS.keys() | DISTRACTORS.keys()
    told: dict = {}
    for record in world.pool:
        fact = told.setdefault((record["source"], thing_of(record)), set())
        fact.add(record["response"])
    assert all(len(values) == 1 for values in told.values())


@pytest.mark.parametrize("name", DOMAINS)
def test_the_needed_skills_answer_a_domain_s_questions_and_nothing_else_does(
    world, name
):
    domain = world.domains[name]
    assert domain.needed == tuple(DOMAINS[name])
    assert len(domain.train) == NUM_TRAIN
    assert all(record["source"] == name for record in domain.train)
    truth = {(r["source"], thing_of(r)): r["response"] for r in world.pool}
    own = {wording: s for s, ws in DOMAINS[name].items() for wording in ws}
    seen = set()
    for record in domain.train + domain.evaluation:
        thing = thing_of(record)
        (skill,) = {s for w, s in own.items() if w.format(thing) == record["prompt"]}
        assert record["response"] == truth[skill, thing]
        if "choices" in record:
            assert (skill, thing) not in seen, "a training fact is asked for"
            assert record["choices"][record["answer"]] == record["response"]
            assert len(set(record["choices"])) == 4
        else:
            seen.add((skill, thing))


def test_distractor_tables_are_independent(world):
    """They agree with the skill of the same values about as often as chance, 1 in 8."""
    truth = {(r["source"], thing_of(r)): r["response"] for r in world.pool}
    agreeing = [
        truth[distractor, thing] == truth[skill, thing]
        for distractor, row in DISTRACTORS.items()
        for skill, other in SKILLS.items()
        if row.values == other.values
        for thing in NEW_THINGS
    ]
    assert sum(agreeing) / len(agreeing) < 0.25


def test_answers_are_at_every_place(world):
    places = [r["answer"] for d in world.domains.values() for r in d.evaluation]
    for place in range(4):
        assert 0.15 < places.count(place) / len(places) < 0.35


def test_files_are_read_by_the_reader_of_examples(world, tmp_path):
    write_world(world, tmp_path)
    pool = read_examples([tmp_path / "pool.jsonl"])
    assert [example.id for example in pool] == [r["id"] for r in world.pool]
    questions = read_examples([tmp_path / "legal_eval.jsonl"])
    assert questions[0].choices is not None
    lines = (tmp_path / "medical_train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == world.domains["medical"].train


def test_pretraining_knows_old_things_and_not_the_tables_of_new_ones():
    values: dict = {}
    for prompt, response in itertools.islice(pretraining_texts(0), 60_000):
        values.setdefault(prompt, set()).add(response)
    asked = lambda things: [
        found
        for prompt, found in values.items()
        if any(prompt == w.format(t) for t in things for w in SKILLS["colour"].wordings)
    ]
    assert all(len(found) == 1 for found in asked(OLD_THINGS))
    assert max(len(found) for found in asked(NEW_THINGS)) > 1
