"""A small selection that several test files share: a domain, a pool, settings.

The pool's lines are spelled as no JSON library would spell them, so that a copy which
is not byte for byte shows. No two texts are equal, and none has more than 16 tokens:
one padded length, and so one program for each pass.
"""

import json
import string
from pathlib import Path

import numpy as np
from pyarrow import parquet

from ntkjax.commands.select.settings import SelectSettings, with_defaults
from tests.commands.world import World, write_records


NUM_TARGET, NUM_POOL = 7, 41
MAX_LENGTH = 16
SOURCES = ("wiki", "code", None)
# What a run must end with, whatever happened on the way.
SAME_BITS = ("selected.jsonl", "scores.parquet", "adapter/*", "stages/*/*")


def write_problem(world: World) -> None:
    """Writes `target.jsonl`, `pool.jsonl` and the adapter `start` into the world."""
    rng = np.random.default_rng(5)
    target = [{"id": f"t{i}", **_texts(rng)} for i in range(NUM_TARGET)]
    write_records(world.root / "target.jsonl", target)
    lines = [_odd_line(rng, index) for index in range(NUM_POOL)]
    (world.root / "pool.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    world.write_adapter("start", seed=3)


def fields_of(world: World, **changes) -> dict:
    """A selection at the adapter `start`: five shards of embeddings, M = 16, two more.

    A double underscore stands for the dot of nested flags.
    """
    fields = {
        "model": str(world.model),
        "target": (world.root / "target.jsonl",),
        "pool": (world.root / "pool.jsonl",),
        "out": world.out,
        "budget": 4,
        "max_length": MAX_LENGTH,
        "warmup": "none",
        "adapter": world.root / "start",
        "tokens_per_batch": 96,
        "rows_per_shard": 10,
    }
    return fields | changes


def settings_of(world: World, **changes) -> SelectSettings:
    return with_defaults(SelectSettings(**fields_of(world, **changes)))


def flags_of(world: World, **changes) -> list[str]:
    """The same on the command line; a change to None leaves a flag out."""
    words = []
    for name, value in fields_of(world, **changes).items():
        if value is None:
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('__', '.').replace('_', '-')}", *map(str, values)]
    return words


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def same_bits(out: Path, patterns: tuple[str, ...] = SAME_BITS) -> dict[str, bytes]:
    """Content by name of all files that do not depend on what happened on the way."""
    paths = sorted(path for pattern in patterns for path in out.glob(pattern))
    kept = [path for path in paths if not path.name.startswith(".")]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def table_of(out: Path) -> dict[str, list]:
    """Columns of `scores.parquet`."""
    return parquet.read_table(out / "scores.parquet").to_pydict()


def numbers(out: Path, name: str) -> np.ndarray:
    """A column of `scores.parquet`, NaN where it is null."""
    values = table_of(out)[name]
    assert not any(value is not None and np.isnan(value) for value in values)
    return np.array([np.nan if value is None else value for value in values])


def result_of(out: Path) -> dict:
    """`selection.json`, which must not hold NaN."""

    def refuse(constant):
        raise AssertionError(f"{constant} in selection.json")

    return json.loads((out / "selection.json").read_text(), parse_constant=refuse)


def _texts(rng: np.random.Generator) -> dict[str, str]:
    def word() -> str:
        letters = list(string.ascii_lowercase)
        return "".join(rng.choice(letters, rng.integers(2, 5)))

    return {"prompt": f"{word()} {word()}", "response": word()}


def _odd_line(rng: np.random.Generator, index: int) -> bytes:
    """A record in one of four spellings."""
    texts = _texts(rng)
    record = {"id": f"p{index}", **texts}
    if SOURCES[index % 3]:
        record["source"] = SOURCES[index % 3]
    style = index % 4
    if style == 0:  # white space
        return json.dumps(record, separators=(" ,\t", " :  ")).encode() + b"  "
    if style == 1:  # a letter as an escape
        first, rest = texts["prompt"][0], texts["prompt"][1:]
        escaped = f'"\\u{ord(first):04x}{rest}"'
        return json.dumps(record).replace(f'"{texts["prompt"]}"', escaped, 1).encode()
    if style == 2:  # another order, a line separator of Unicode's, a column of its own
        record = {"note": "größer\u2028≠", **dict(reversed(record.items()))}
        return b" " + json.dumps(record, ensure_ascii=False).encode()
    return json.dumps(record | {"weight": 1.5}).replace("1.5", "1.50e0").encode()
