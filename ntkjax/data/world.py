"""A small world of text with known truth: what helps a domain is known by construction.

Twelve general skills are tables from things to values (the colour of the cup, the owner
of the cup), each asked for in five general wordings. Four low-resource domains ask for
two or three of the skills in their own vocabulary. Eight distractors use a domain's
vocabulary, the same things and the same values, but tables of their own.

A domain's training set tells the values of a third of the things. Its evaluation set
asks for the other things, four choices a question: the pool's examples of the needed
skills tell them, in other words; nothing else does.

`seed` decides the tables and all draws. Nothing comes from a data set.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkjax.data.world_words import (
    DISTRACTORS,
    DOMAINS,
    NEW_THINGS,
    OLD_THINGS,
    SKILLS,
    Skill,
)
from ntkjax.store.atomic import write_text


NUM_TRAIN = 36
"""Training examples of a domain."""

POOL_SIZE = len(NEW_THINGS) * sum(
    len(skill.wordings) for skill in (SKILLS | DISTRACTORS).values()
)
"""Records of the pool."""

_TRAIN_SHARE = 3  # a domain's training set tells one thing in three
_NUM_CHOICES = 4

Record = dict[str, object]
Tables = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Domain:
    """One low-resource domain.

    Attributes:
        needed: Sources of the pool that tell what the domain asks for.
        train: Its training records.
        evaluation: Its questions, with `choices` and `answer`.
    """

    needed: tuple[str, ...]
    train: list[Record]
    evaluation: list[Record]


@dataclass(frozen=True)
class World:
    """Pool and domains of one seed; records are those of `ntkjax.data.examples`.

    Attributes:
        seed: What made it.
        pool: Records of all skills and distractors, shuffled; `source` names them.
        domains: The domains by name.
    """

    seed: int
    pool: list[Record]
    domains: dict[str, Domain]


def make_world(seed: int) -> World:
    """The world of a seed: `POOL_SIZE` pool records, four domains."""
    tables = _tables(seed, NEW_THINGS)
    rng = np.random.default_rng([seed, 1])
    pool = [
        _record(wording, thing, tables[name][thing], name)
        for name, skill in _everything().items()
        for thing in NEW_THINGS
        for wording in skill.wordings
    ]
    order = rng.permutation(len(pool))
    pool = [{"id": f"pool-{n:05d}", **pool[row]} for n, row in enumerate(order)]
    domains = {
        name: _domain(name, tables, np.random.default_rng([seed, 2, number]))
        for number, name in enumerate(DOMAINS)
    }
    return World(seed, pool, domains)


def write_world(world: World, folder: Path) -> None:
    """Writes `pool.jsonl`, and `NAME_train.jsonl` and `NAME_eval.jsonl` per domain."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "pool.jsonl", world.pool)
    for name, domain in world.domains.items():
        _write_lines(folder / f"{name}_train.jsonl", domain.train)
        _write_lines(folder / f"{name}_eval.jsonl", domain.evaluation)


def pretraining_texts(seed: int) -> Iterator[tuple[str, str]]:
    """Endless prompts and responses for the embedded model.

    Old things have their values, which are the same in every world; new things have a
    random value each time, so that their words are known and their tables are not.
    """
    known = _tables(0, OLD_THINGS)
    rng = np.random.default_rng([seed, 3])
    questions = [
        (name, skill.values, wording)
        for name, skill in _everything().items()
        for wording in (*skill.wordings, *_domain_wordings(name))
    ]
    while True:
        name, values, wording = questions[rng.integers(len(questions))]
        if rng.random() < 0.8:
            thing = str(rng.choice(OLD_THINGS))
            value = known[name][thing]
        else:
            thing, value = str(rng.choice(NEW_THINGS)), str(rng.choice(values))
        yield wording.format(thing), f"{value}."


def _everything() -> dict[str, Skill]:
    return SKILLS | DISTRACTORS


def _domain_wordings(skill: str) -> tuple[str, ...]:
    return tuple(w for needs in DOMAINS.values() for w in needs.get(skill, ()))


def _tables(seed: int, things: tuple[str, ...]) -> Tables:
    """A table for each skill and distractor; values are used about equally often."""
    tables = {}
    for name, skill in _everything().items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), len(things)])
        repeats = -(-len(things) // len(skill.values))
        values = rng.permutation(skill.values * repeats)[: len(things)]
        tables[name] = dict(zip(things, map(str, values), strict=True))
    return tables


def _domain(name: str, tables: Tables, rng: np.random.Generator) -> Domain:
    train, evaluation = [], []
    for skill, wordings in DOMAINS[name].items():
        things = [str(thing) for thing in rng.permutation(NEW_THINGS)]
        told = set(things[: len(things) // _TRAIN_SHARE])
        for thing in things:
            for wording in wordings:
                value = tables[skill][thing]
                record = _record(wording, thing, value, name)
                if thing in told:
                    train.append(record)
                else:
                    evaluation.append(record | _choices(skill, value, rng))
    train = [train[row] for row in rng.permutation(len(train))[:NUM_TRAIN]]
    numbered = lambda kind, records: [
        {"id": f"{name}-{kind}-{n:04d}", **record} for n, record in enumerate(records)
    ]
    return Domain(
        tuple(DOMAINS[name]), numbered("train", train), numbered("eval", evaluation)
    )


def _choices(skill: str, value: str, rng: np.random.Generator) -> Record:
    others = [other for other in SKILLS[skill].values if other != value]
    wrong = rng.choice(others, _NUM_CHOICES - 1, replace=False)
    choices = [f"{choice}." for choice in rng.permutation([value, *wrong])]
    return {"choices": choices, "answer": choices.index(f"{value}.")}


def _record(wording: str, thing: str, value: str, source: str) -> Record:
    return {
        "source": source,
        "prompt": wording.format(thing),
        "response": f"{value}.",
    }


def _write_lines(path: Path, records: list[Record]) -> None:
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))
