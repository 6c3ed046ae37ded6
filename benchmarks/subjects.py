"""What is measured: a model with its texts, real or random."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax.numpy as jnp

from benchmarks.decoders import random_decoder, random_texts
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.examples import choose, read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import tokenize_files


DOMAINS = ("financial", "medical")
QUERIES = "{domain}_train.jsonl"
CANDIDATES = "pool_cot.jsonl"

Texts = dict[str, list[TokenizedExample]]


@dataclass(frozen=True)
class Subject:
    """A model and a way to draw texts for it.

    Attributes:
        name: Of the model.
        load: The model with an adapter's place.
        texts: (domain, number of queries, number of candidates, longest, seed) to
            tokenized `queries` and `candidates`.
        vocab_size: Tokens that the tokenizer knows.
    """

    name: str
    load: Callable[[LoraSettings], LanguageModel]
    texts: Callable[[str, int, int, int, int], Texts]
    vocab_size: int


def real_subject(shared: Path, name: str) -> Subject:
    """A model of `shared`; queries are a domain's, candidates the general pool's."""
    folder = shared / "models" / name
    read = {
        file: read_examples([shared / "data" / file])
        for file in (*(QUERIES.format(domain=d) for d in DOMAINS), CANDIDATES)
    }

    def texts(domain: str, n: int, m: int, longest: int, seed: int) -> Texts:
        file = QUERIES.format(domain=domain)
        chosen = {
            "queries": choose(read[file], n, 2 * seed, True, "queries"),
            "candidates": choose(read[CANDIDATES], m, 2 * seed + 1, True, "candidates"),
        }
        return tokenize_files(folder, chosen, longest)[0]

    _, vocab_size = tokenize_files(folder, {"one": read[CANDIDATES][:1]}, 8)
    return Subject(
        name, lambda lora: load_model(folder, lora, jnp.float32), texts, vocab_size
    )


def random_subject(width: int = 16, vocab_size: int = 64) -> Subject:
    """A tiny random decoder with random tokens: the machinery without shared files."""

    def texts(domain: str, n: int, m: int, longest: int, seed: int) -> Texts:
        place = DOMAINS.index(domain)
        drawn = random_texts(n + m, longest, vocab_size, 2 * seed + place)
        return {"queries": drawn[:n], "candidates": drawn[n:]}

    load = partial(random_decoder, width, vocab_size, seed=0)
    return Subject("random", lambda lora: load(lora), texts, vocab_size)
