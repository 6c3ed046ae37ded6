"""A problem of selection in memory: a tiny model, a target, a handful of candidates."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.data.examples import Example
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.models.lora import LoraSettings
from ntkjax.passes.run_pass import Batching
from ntkjax.selection.options import MethodOptions
from ntkjax.selection.problem import Problem, Snapshot
from ntkjax.selection.ranking import ranking
from tests.problems import random_examples, random_model, tiny_config


LORA = LoraSettings(rank=2, targets=("q_proj", "down_proj"))
MODEL, THETA = random_model(tiny_config(num_layers=1, hidden_size=6), LORA)
LONGEST = 14


class MemoryColumns:
    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def column(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def tiles(self, name: str) -> Iterator[np.ndarray]:
        array = self._arrays[name]
        for start in range(0, len(array), 4):  # tiles of 4 rows
            yield array[start : start + 4]


class MemoryCandidates:
    """Candidates in memory; `computed` lists the passes that were really computed, and
    `kept` what was found once beside them.

    Passes over some of them are kept and listed beside those over all.
    """

    def __init__(self, tokenized: list[TokenizedExample], texts: list[Example]):
        self._tokenized, self._texts = tokenized, texts
        self._kept: dict[str, Any] = {}
        self.computed: list[str] = []
        self.kept: list[str] = []

    def __len__(self) -> int:
        return len(self._tokenized)

    def lengths(self) -> np.ndarray:
        return np.array([len(e.tokens) for e in self._tokenized], np.int32)

    def limited_to(self, positions: np.ndarray) -> "MemoryCandidates":
        positions = np.sort(positions)
        found = MemoryCandidates(
            self.read(positions), [self._texts[position] for position in positions]
        )
        found._kept, found.computed, found.kept = self._kept, self.computed, self.kept
        return found

    def sources(self) -> list[str | None]:
        return [example.source for example in self._texts]

    def texts(self) -> Iterator[list[Example]]:
        for start in range(0, len(self._texts), 5):
            yield self._texts[start : start + 5]

    def read(self, positions: np.ndarray) -> list[TokenizedExample]:
        return [self._tokenized[position] for position in positions]

    def compute(self, name: str, decides: Mapping, compute) -> MemoryColumns:
        found = self._shards(name, decides, compute)
        return MemoryColumns(
            {k: np.concatenate([part[k] for part in found]) for k in found[0]}
        )

    def reduce(self, name: str, decides: Mapping, compute) -> dict[str, np.ndarray]:
        found = self._shards(name, decides, compute)
        return {
            k: np.sum([part[k] for part in found], axis=0, dtype=np.float64)
            for k in found[0]
        }

    def keep(self, name: str, decides: Mapping, compute) -> dict[str, np.ndarray]:
        key = repr((name, sorted(decides.items()), "once"))
        if key not in self._kept:
            self.kept.append(name)
            found = compute()
            rounded = {k: np.asarray(v, np.float32) for k, v in found.items()}
            self._kept[key] = {k: v.astype(np.float64) for k, v in rounded.items()}
        return dict(self._kept[key])

    def _shards(self, name: str, decides: Mapping, compute) -> list[dict]:
        """Two shards, as a store would have and keep them."""
        ids = [example.id for example in self._tokenized]
        key = repr((name, sorted(decides.items()), ids))
        if key not in self._kept:
            self.computed.append(name)
            half = len(self) // 2
            parts = self._tokenized[:half], self._tokenized[half:]
            self._kept[key] = [
                compute(list(part), lambda count: None) for part in parts if part
            ]
        return self._kept[key]


def small_problem(
    num_target: int = 5,
    num_candidates: int = 9,
    *,
    groups: tuple[str, ...] | None = None,
    options: MethodOptions | None = None,
    num_snapshots: int = 1,
    moments: bool = False,
    budget: int = 3,
    seed: int = 0,
) -> Problem:
    """A problem whose numbers are random, the same at every call.

    With `moments` each snapshot has Adam moments; snapshots differ in θ.
    """
    target = random_examples(num_target, seed=3, longest=LONGEST)
    pool = random_examples(num_candidates, seed=4, longest=LONGEST)
    return Problem(
        model=MODEL,
        start=THETA,
        snapshots=tuple(_snapshot(k, moments) for k in range(num_snapshots)),
        target=tuple(_text(example) for example in target),
        target_tokens=tuple(target),
        groups=groups,
        candidates=MemoryCandidates(pool, [_text(example) for example in pool]),
        batching=Batching("all", 4 * LONGEST, LONGEST, data_mesh()),
        vocab_size=MODEL.config.vocab_size,
        options=options or MethodOptions(),
        seed=seed,
        pick=lambda scores: ranking(scores)[:budget],
        about=lambda: budget,
    )


def _snapshot(number: int, moments: bool) -> Snapshot:
    rng = np.random.default_rng([17, number])
    number_like = lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32)
    draw = lambda scale: jax.tree.map(lambda leaf: scale * number_like(leaf), THETA)
    theta = jax.tree.map(lambda a, b: a + b, THETA, draw(0.1))
    first = draw(0.01) if moments else None
    second = jax.tree.map(jnp.square, draw(0.01)) if moments else None
    rate = 1.0 if not moments else 1e-3 / (number + 1)
    return Snapshot(theta, first, second, 3 * (number + 1), rate, f"snapshot-{number}")


def _text(example: TokenizedExample) -> Example:
    """Words that stand for the tokens, so that texts differ as tokens do."""
    words = [f"w{token}" for token in example.tokens]
    prompt, response = " ".join(words[:-2]), " ".join(words[-2:])
    return Example(example.id, prompt, response, None, example.id)
