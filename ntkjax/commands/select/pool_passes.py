"""Passes over a pool on disk: cut into shards, kept, shared by jobs and by runs.

A pass lies under `STAGES/NAME-HASH`; the hash is that of everything that decides its
numbers. Methods, budgets and runs that need the same pass find it there. Independent
jobs share its shards out.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Int32, Int64

from ntkjax.checkpoints.checkpoint import read_tensors
from ntkjax.checkpoints.text_encoder import TextEncoder
from ntkjax.data.batches import lengths_of
from ntkjax.data.examples import Example
from ntkjax.data.pool import Pool, sampled_rows
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.teams import Team
from ntkjax.errors import InputError
from ntkjax.runs.progress import announce, progress
from ntkjax.selection.problem import Compute
from ntkjax.store.atomic import tensor_bytes, write_bytes
from ntkjax.store.folders import make_folder
from ntkjax.store.polling import wait_until
from ntkjax.store.run_path import RunPath
from ntkjax.store.seals import config_hash, tensors_hash
from ntkjax.store.shards import ShardedPass, part_of


_BLOCK = 4096


class Unfinished(Exception):
    """A pass of which other jobs still have shards to write.

    Attributes:
        what: The pass.
        shards: Those that are not there yet.
        missing: How many these are.
        total: Shards in all.
    """

    def __init__(self, what: str, shards: list[int], total: int):
        super().__init__(f"{what}: {len(shards)} of {total} shards are missing")
        self.what, self.shards, self.total = what, shards, total
        self.missing = len(shards)


@dataclass(frozen=True, eq=False)
class StoredColumns:
    """A finished pass; see `ntkjax.selection.problem.Columns`."""

    store: ShardedPass

    def column(self, name: str) -> np.ndarray:
        return self.columns(name)[0]

    def columns(self, *names: str) -> list[np.ndarray]:
        """Several columns; every shard is read, and checked, once."""
        parts: list[list[np.ndarray]] = [[] for _ in names]
        for shard in range(self.store.num_shards):
            arrays = self.store.read(shard)
            for part, name in zip(parts, names, strict=True):
                part.append(arrays[name])
        return [np.concatenate(part) for part in parts]

    def tiles(self, name: str) -> Iterator[np.ndarray]:
        for shard in range(self.store.num_shards):
            yield self.store.read(shard)[name]


@dataclass(frozen=True, eq=False)
class Stages:
    """Where stages are kept, and which part of their work is ours.

    Devices and versions of libraries are not among what decides: a run goes on
    elsewhere, with numbers that may differ in their last bits (1e-5 of the largest).

    Attributes:
        folder: One for all stages; other runs may use it at the same time.
        decides: What decides the numbers of every stage: model, adapter, precision.
        rows_per_shard: Rows of each shard.
        part: (i, n): shards i, i + n, ... are ours; `NO_PART` computes nothing.
        run: Names the run, so that no other one touches its unfinished work.
        team: The processes that work on this part together, where several processes
            do the parts of this run now; None where nobody is to be waited for.
        notes: What each record says beside: what rounds the numbers, and decides none.
    """

    folder: RunPath
    decides: dict[str, Any]
    rows_per_shard: int
    part: tuple[int, int] = (1, 1)
    run: str = "run"
    team: Team | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether this process writes what its part finds."""
        return self.team is None or self.team.leads

    def finds(self, is_there: Callable[[], bool]) -> bool:
        """Whether something is there, as the team's leader finds."""
        if self.team is None:
            return is_there()
        return self.team.agrees(self.team.leads and is_there())

    def missing(self, store: ShardedPass) -> list[int]:
        """Shards of our part that are not there, as the team's leader finds."""
        found = store.missing()
        if self.team is not None:
            is_missing = np.isin(np.arange(store.num_shards), found).astype(np.int32)
            found = np.flatnonzero(self.team.agree(is_missing)).tolist()
        return part_of(found, *self.part)

    def path(self, name: str, decides: Mapping[str, Any]) -> tuple[RunPath, str]:
        """The folder of a stage, and the hash of what decides it."""
        identity = config_hash({**self.decides, **decides, "stage": name})
        return self.folder / f"{name.replace(' ', '-')}-{identity[:16]}", identity


class PoolCandidates:
    """Rows of a pool as candidates; see `ntkjax.selection.problem.Candidates`.

    Every pass notes the length of each text beside what it computes.

    Args:
        pool: The pool.
        encode: Examples to tokens.
        stages: Where passes are kept.
        decides: What decides the numbers of every pass, beyond all stages: the content
            of the pool.

    Attributes:
        rows: Rows of the pool, ascending.
    """

    def __init__(
        self,
        pool: Pool,
        encode: TextEncoder,
        stages: Stages,
        decides: Mapping[str, Any],
    ):
        self.rows: Int64[np.ndarray, " k"] = np.arange(len(pool), dtype=np.int64)
        self._pool, self._encode, self._stages = pool, encode, stages
        self._decides = dict(decides)
        self._noted: StoredColumns | None = None
        self._lengths: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self) -> Int32[np.ndarray, " k"]:
        return self._measured()[0]

    def sampled_lengths(self) -> Int64[np.ndarray, " n"]:
        """Tokens of some of them, always the same ones, kept once they were read."""

        def read() -> dict[str, np.ndarray]:
            return {"tokens": lengths_of(self.read(sampled_rows(len(self))))}

        return self.keep("sampled lengths", {}, read)["tokens"].astype(np.int64)

    def was_cut(self) -> Bool[np.ndarray, " k"]:
        """Whether each was longer than the limit."""
        return self._measured()[1]

    def limited_to(self, positions: Int64[np.ndarray, " n"]) -> "PoolCandidates":
        """Some of the candidates, in pool order."""
        positions = np.sort(positions)
        found = PoolCandidates(self._pool, self._encode, self._stages, self._decides)
        found.rows = self.rows[positions]
        found._lengths = self.lengths()[positions], self.was_cut()[positions]
        return found

    def sources(self) -> list[str | None]:
        return self._pool.sources(self.rows)

    def texts(self) -> Iterator[list[Example]]:
        for start in range(0, len(self), _BLOCK):
            yield self._pool.read(self.rows[start : start + _BLOCK])

    def read(self, positions: Int64[np.ndarray, " n"]) -> list[TokenizedExample]:
        return self._encode(self._pool.read(self.rows[positions]))

    def compute(
        self, name: str, decides: Mapping[str, Any], compute: Compute
    ) -> StoredColumns:
        """As `Candidates.compute`.

        Raises:
            Unfinished: If shards of other parts are missing at the end.
        """

        def noted(texts: list[TokenizedExample], advance) -> dict[str, np.ndarray]:
            tokens = np.array([len(text.tokens) for text in texts], np.int32)
            was_cut = np.array([text.was_cut for text in texts])
            return {**compute(texts, advance), "tokens": tokens, "was_cut": was_cut}

        found = StoredColumns(self._run(name, decides, noted, rows_each=None))
        self._noted = self._noted or found
        return found

    def reduce(
        self, name: str, decides: Mapping[str, Any], compute: Compute
    ) -> dict[str, np.ndarray]:
        """As `Candidates.reduce`. The sum of each shard is kept in float32.

        Which rows the candidates are is part of what decides: sums over some of them
        (`limited_to`) are kept, shared and taken up again like those over all.

        Raises:
            Unfinished: If shards of other parts are missing at the end.
        """

        def summed(texts: list[TokenizedExample], advance) -> dict[str, np.ndarray]:
            return {name: sums[None] for name, sums in compute(texts, advance).items()}

        store = self._run(name, decides, summed, rows_each=1)
        total: dict[str, np.ndarray] = {}
        for shard in range(store.num_shards):
            for key, value in store.read(shard).items():
                total[key] = total.get(key, 0) + value[0].astype(np.float64)
        return total

    def keep(
        self,
        name: str,
        decides: Mapping[str, Any],
        compute: Callable[[], dict[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """As `Candidates.keep`: one file that holds its own hash.

        Every part finds it for itself if need be: files and seals apart might be of
        two writers.

        Raises:
            InputError: If what another process wrote is damaged.
        """
        stages = self._stages
        folder, _ = stages.path(
            name, {**self._decides, **decides, "rows": self._hash()}
        )
        path = folder.with_name(f"{folder.name}.safetensors")
        if not stages.finds(lambda: _is_kept(path)):
            found = compute()
            if stages.writes:
                make_folder(stages.folder)
                write_bytes(path, tensor_bytes(_with_hash(found)))
        wait_until(path.exists)
        kept = _read_kept(path)
        if kept is None:
            raise InputError(f"{path}: damaged; run the same command again.")
        return {key: value.astype(np.float64) for key, value in kept.items()}

    def _hash(self) -> str:
        """Of the rows."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and cuts, from any pass over all; from one of its own if need be."""
        if self._lengths is None:
            found = self._noted or self.compute("lengths", {}, _nothing)
            tokens, was_cut = found.columns("tokens", "was_cut")
            self._lengths = tokens, was_cut
        return self._lengths

    def _run(
        self,
        name: str,
        decides: Mapping[str, Any],
        compute: Compute,
        *,
        rows_each: int | None,
    ) -> ShardedPass:
        """Computes the shards of our part that are not there.

        Args:
            name: Of the pass.
            decides: What decides its numbers.
            compute: Arrays of a shard.
            rows_each: Rows that each shard stores, if not one per candidate.
        """
        stages = self._stages
        size = stages.rows_per_shard
        everything = {**self._decides, **decides, "rows": self._hash(), "size": size}
        folder, identity = stages.path(name, everything)
        cuts = ShardedPass(folder, len(self), size, identity)
        store = cuts
        if rows_each is not None:
            num_rows = cuts.num_shards * rows_each
            store = ShardedPass(folder, num_rows, rows_each, identity)
        mine = stages.missing(store)
        if mine:
            total = sum(len(cuts.rows(shard)) for shard in mine)
            with progress(name, total, "examples") as advance:
                for shard in mine:
                    part = cuts.rows(shard)
                    texts = self.read(np.arange(part.start, part.stop))
                    found = compute(texts, advance)
                    if stages.writes:
                        store.write(shard, found, stages.notes)
        if stages.team is not None:
            wait_until(store.has_all_records)
        missing = store.missing() if stages.part[1] > 1 else []
        if missing and stages.team is not None:  # damaged; their team computes them
            wait_until(lambda: not store.missing())
            missing = []
        if missing:
            raise Unfinished(name, missing, store.num_shards)
        return store


def _nothing(texts: list[TokenizedExample], advance) -> dict[str, np.ndarray]:
    """Computes nothing: a pass for the lengths alone."""
    advance(len(texts))
    return {}


_HASH = "sha256"


def _is_kept(path: RunPath) -> bool:
    """Whether kept values are there; damaged ones are removed."""
    if not path.exists():
        return False
    is_whole = _read_kept(path) is not None
    if not is_whole:
        announce(f"{path}: damaged; its values are computed again.")
        path.unlink(missing_ok=True)
    return is_whole


def _with_hash(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values as they are stored, and their hash as one more of them."""
    stored = safetensors.numpy.load(tensor_bytes(values))
    digest = bytes.fromhex(tensors_hash(stored))
    return {**stored, _HASH: np.frombuffer(digest, np.uint8)}


def _read_kept(path: RunPath) -> dict[str, np.ndarray] | None:
    """Kept values; None if they are not those of their hash."""
    try:
        stored = read_tensors(path)
    except InputError:
        return None
    digest = stored.pop(_HASH, np.zeros(0, np.uint8)).tobytes().hex()
    return stored if tensors_hash(stored) == digest else None
