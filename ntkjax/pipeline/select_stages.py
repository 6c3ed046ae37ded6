"""The stages of NTK-Selector over a pool on disk, each resumable (arXiv 2511.07380).

    warm-up → embeddings → reverse-kNN shortlist → kernel scores

A stage writes what it finds under the run directory and finds it there again. The long
passes over the pool are cut into shards; independent jobs share them out.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float32, Int32, Int64

from ntkjax.data.pool import Pool
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.models.adapter import adapter_files, read_adapter, write_adapter
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.text_encoder import TextEncoder
from ntkjax.notation import Theta
from ntkjax.pipeline.progress import progress
from ntkjax.selection.embeddings import embeddings
from ntkjax.selection.passes import Batching
from ntkjax.selection.shortlist import Votes, reverse_knn
from ntkjax.store.atomic import write_json
from ntkjax.store.run_directory import hash_files, read_json
from ntkjax.store.shards import ShardedPass, config_hash, part_of
from ntkjax.training.loop import train_adapter
from ntkjax.training.plan import Plan
from ntkjax.training.settings import TrainingSettings


ADAPTER = "adapter"


class Unfinished(Exception):
    """A pass of which other jobs still have shards to write.

    Attributes:
        what: The pass.
        missing: Shards that are not there yet.
        total: Shards in all.
    """

    def __init__(self, what: str, missing: int, total: int):
        super().__init__(f"{what}: {missing} of {total} shards are missing")
        self.what, self.missing, self.total = what, missing, total


@dataclass(frozen=True, eq=False)
class PoolPasses:
    """Where the passes over the pool are kept, and which part of them is ours.

    Attributes:
        pool: The candidates.
        encode: Examples to tokens.
        out: Run directory.
        identity: Everything that decides the numbers, as plain values.
        rows_per_shard: Rows of each shard.
        part: (i, n): shards i, i + n, ... are ours.
    """

    pool: Pool
    encode: TextEncoder
    out: Path
    identity: dict
    rows_per_shard: int
    part: tuple[int, int] = (1, 1)

    def run(
        self,
        name: str,
        rows: Int64[np.ndarray, " m"],
        compute: Callable[[list[TokenizedExample], Callable], dict[str, np.ndarray]],
    ) -> ShardedPass:
        """Lets `compute` work on the pool's `rows`, shard by shard.

        `compute` gets tokenized examples and `advance`; beside its arrays a shard has
        `tokens` (their number) and `was_cut`.

        Raises:
            Unfinished: If shards of other parts are missing at the end.
        """
        chosen = hashlib.sha256(rows.tobytes()).hexdigest()
        identity = config_hash({**self.identity, "pass": name, "rows": chosen})
        folder = self.out / "shards" / name
        store = ShardedPass(folder, len(rows), self.rows_per_shard, identity)
        mine = part_of(store.missing(), *self.part)
        total = sum(len(store.rows(shard)) for shard in mine)
        if mine:
            with progress(name, total, "examples") as advance:
                for shard in mine:
                    part = store.rows(shard)
                    texts = self.encode(self.pool.read(rows[part.start : part.stop]))
                    facts = {
                        "tokens": np.array([len(t.tokens) for t in texts], np.int32),
                        "was_cut": np.array([t.was_cut for t in texts]),
                    }
                    store.write(shard, {**compute(texts, advance), **facts})
        missing = store.missing() if self.part[1] > 1 else []
        if missing:
            raise Unfinished(name, len(missing), store.num_shards)
        return store


def columns(store: ShardedPass, *names: str) -> tuple[np.ndarray, ...]:
    """Whole columns of a finished pass."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for shard in range(store.num_shards):
        arrays = store.read(shard)
        for name in names:
            parts[name].append(arrays[name])
    return tuple(np.concatenate(parts[name]) for name in names)


@dataclass(frozen=True, eq=False)
class PoolVotes:
    """What embeddings say of the whole pool.

    Attributes:
        votes: Votes and mean similarity of every row.
        tokens: Tokens of every row.
        was_cut: Whether the row was longer than the limit.
    """

    votes: Votes
    tokens: Int32[np.ndarray, " m"]
    was_cut: Bool[np.ndarray, " m"]


def embed_and_vote(
    passes: PoolPasses,
    model: LanguageModel,
    theta: Theta,
    target: Sequence[TokenizedExample],
    batching: Batching,
    num_neighbors: Callable[[Int32[np.ndarray, " m"]], int],
) -> PoolVotes:
    """The embedding pass and the reverse-kNN vote; tiles are read shard by shard.

    Args:
        passes: Where results go.
        model: The model.
        theta: The adapter after its warm-up.
        target: Domain examples.
        batching: With the embedding's pooling.
        num_neighbors: K, given the tokens of every row.
    """
    model, theta = replicate((model, theta), batching.mesh)

    def compute(texts, advance) -> dict[str, np.ndarray]:
        found = embeddings(model, theta, texts, batching, advance=advance)
        return {"embedding": found}

    rows = np.arange(len(passes.pool), dtype=np.int64)
    store = passes.run("embeddings", rows, compute)
    tokens, was_cut = columns(store, "tokens", "was_cut")
    domain = embeddings(model, theta, target, batching)

    def tiles() -> Iterator[Float32[np.ndarray, "n d"]]:
        for shard in range(store.num_shards):
            yield store.read(shard)["embedding"]

    votes = reverse_knn(domain, tiles(), num_neighbors(tokens))
    return PoolVotes(votes, tokens, was_cut)


def warm_up(
    out: Path,
    model: LanguageModel,
    theta: Theta,
    target: Sequence[TokenizedExample],
    settings: TrainingSettings,
    *,
    seed: int,
    max_length: int,
    mesh: Mesh,
    part: tuple[int, int],
    base_name: str,
) -> tuple[Theta, list[dict]]:
    """Fine-tunes θ on the domain; what is published first is what everyone reads.

    Returns:
        θ as `out/adapter` holds it, and the history of losses.
    """
    history = out / "warmup" / "history.json"
    job = out / "warmup" / f"checkpoints-{part[0]}-of-{part[1]}"
    if not (out / ADAPTER).exists():
        job.mkdir(parents=True, exist_ok=True)
        num_steps = Plan([target], settings, seed, None).num_steps
        with progress("warm-up", num_steps, "steps") as advance:
            trained = train_adapter(
                model,
                theta,
                [target],
                settings,
                seed=seed,
                max_length=max_length,
                mesh=mesh,
                checkpoints=job,
                advance=advance,
            )
        write_json(history, [_plain(row) for row in trained.history])
        publish_adapter(out, jax.tree.map(jnp.asarray, trained.theta), model, base_name)
    shutil.rmtree(job, ignore_errors=True)  # also what a kill just before this left
    return read_adapter(out / ADAPTER, model), read_json(history)


def publish_adapter(
    out: Path, theta: Theta, model: LanguageModel, base_name: str
) -> None:
    """Writes `out/adapter` in one step; the first of several jobs wins."""
    beside = out / f".{ADAPTER}.{os.getpid()}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    write_adapter(beside, theta, model, base_name)
    try:
        beside.rename(out / ADAPTER)
    except OSError:
        if not (out / ADAPTER).exists():
            raise
        shutil.rmtree(beside)


def adapter_hash(out: Path) -> str:
    """The hash of the adapter that all passes use."""
    return hash_files(adapter_files(out / ADAPTER))


def _plain(row: dict) -> dict:
    return {name: row[name] for name in ("step", "loss", "learning_rate")}
