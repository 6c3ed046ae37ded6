"""A made-up selection of the size that a small run has."""

import copy

import numpy as np

from ntkjax.math.ranking import spearman
from ntkjax.selection.result import SelectionResult
from ntkjax.store.results import result_from
from tests.reports.selection.methods import FACTS, WARMUPS


SOURCES = {"aqua": 700, "gsm8k": 500, "sensemaking": 300, "qasc": 100}
NUM_POOL, NUM_SHORTLISTED, NUM_SELECTED = 1600, 400, 100
WORDS = """net sales rose by five per cent in the third quarter while costs fell and the
company said that margins would hold""".split()  # noqa: SIM905


NO_WARMUP = {
    "kind": "none",
    "examples": 0,
    "steps": None,
    "first_loss": None,
    "last_loss": None,
    "history": [],
}


def histogram(values, edges):
    return np.histogram(values, edges)[0].tolist()


def selection_run(method: str = "ntk", **changes) -> SelectionResult:
    """A run with some fields changed, given as plain values."""
    return record(selection_values(method) | changes)


def record(values: dict) -> SelectionResult:
    """The result that plain values stand for."""
    return result_from({"schema": 1, **values}, SelectionResult)


def selection_values(method: str = "ntk") -> dict:
    """`selection.json` of 100 examples out of 1600, with the method's defaults.

    ntk has a shortlist of 400, the other methods have none.
    """
    result = ntk_values()
    if method == "ntk":
        return result
    without_votes(result)
    (warmup,) = (kind for kind, names in WARMUPS.items() if method in names)
    result |= {
        "method": method,
        "picker": "round-robin" if method == "rds" else "top",
        "kernel": None,
        "method_facts": copy.deepcopy(FACTS[method]),
    }
    if warmup == "none":
        without_warmup(result)
    else:
        result["warmup"] |= {"kind": warmup, "examples": 80}
    return result


def ntk_values() -> dict:
    """`selection.json` of the method ntk."""
    rng = np.random.default_rng(0)
    sources = np.repeat(list(SOURCES), list(SOURCES.values()))
    tokens = rng.integers(20, 200, NUM_POOL)
    votes = rng.poisson(1.0 + 6.0 * (sources == "sensemaking") * rng.random(NUM_POOL))
    shortlist = np.argsort(-votes, kind="stable")[:NUM_SHORTLISTED]
    scores = rng.normal(0.02, 0.004, NUM_SHORTLISTED) + 4e-5 * tokens[shortlist]
    order = np.argsort(-scores, kind="stable")
    chosen = shortlist[order[:NUM_SELECTED]]

    def row(rank):
        example = shortlist[order[rank]]
        text = lambda num: " ".join(rng.choice(WORDS, num))
        return {
            "rank": rank + 1,
            "id": f"{sources[example]}-{example:05d}",
            "source": str(sources[example]),
            "tokens": int(tokens[example]),
            "votes": int(votes[example]),
            "score": float(scores[order[rank]]),
            "prompt": f"{text(int(tokens[example]) // 2)}?",
            "response": f"{text(20)}.\nThe answer is {text(1)}.",
            "selected": rank < NUM_SELECTED,
        }

    def source_row(source):
        pool, selected = sum(sources == source), sum(sources[chosen] == source)
        return {
            "source": str(source),
            "pool": int(pool),
            "shortlisted": int(sum(sources[shortlist] == source)),
            "selected": int(selected),
            "pool_share": float(pool / NUM_POOL),
            "selected_share": float(selected / NUM_SELECTED),
        }

    vote_edges = np.arange(votes.max() + 2)
    score_edges = np.linspace(scores.min(), scores.max(), 31)
    losses = 2.0 + 1.9 * np.exp(-np.arange(0, 60, 2) / 15)
    best = [row(rank) for rank in range(20)]
    return {
        "model": "shared/models/base4m",
        "target": ["shared/data/financial_train.jsonl"],
        "pool": ["shared/data/pool_cot.jsonl"],
        "method": "ntk",
        "picker": "top",
        "reverse": False,
        "parameters": "lora",
        "kernel": "summed",
        "method_facts": copy.deepcopy(FACTS["ntk"]),
        "num_target": 200,
        "num_aim": 200,
        "validation": [],
        "num_pool": NUM_POOL,
        "num_shortlisted": NUM_SHORTLISTED,
        "num_neighbors": NUM_SELECTED,
        "num_selected": NUM_SELECTED,
        "budget": {"examples": NUM_SELECTED, "tokens": None},
        "selected_tokens": int(tokens[chosen].sum()),
        "pool_tokens": int(tokens.sum()),
        "padding": 0.043,
        "num_cut": {"target": 3, "pool": 41},
        "warmup": {
            "kind": "target",
            "examples": 200,
            "steps": 60,
            "first_loss": float(losses[0]),
            "last_loss": float(losses[-1]),
            "history": [
                {"step": 2 * i + 1, "loss": float(loss)}
                for i, loss in enumerate(losses)
            ],
        },
        "sources": [source_row(source) for source in SOURCES],
        "distributions": {
            "votes": {
                "edges": vote_edges.tolist(),
                "pool": histogram(votes, vote_edges),
                "selected": histogram(votes[chosen], vote_edges),
            },
            "scores": {
                "edges": score_edges.tolist(),
                "scored": histogram(scores, score_edges),
                "selected": histogram(scores[order[:NUM_SELECTED]], score_edges),
            },
            "length_score": {
                "tokens": tokens[shortlist][order].tolist(),
                "score": scores[order].tolist(),
                "selected": [rank < NUM_SELECTED for rank in range(NUM_SHORTLISTED)],
            },
        },
        "length_score_spearman": spearman(tokens[shortlist].astype(float), scores),
        "texts": {
            "best": best,
            "cut": [row(rank) for rank in range(NUM_SELECTED - 10, NUM_SELECTED + 10)],
            "worst": [
                row(rank) for rank in range(NUM_SHORTLISTED - 20, NUM_SHORTLISTED)
            ],
        },
        "duplicates": {
            "within": duplicates(1, 1, best[0]["id"], best[3]["id"]),
            "target": duplicates(0, 2, best[5]["id"], "tfns-train-01382"),
            "holdout": duplicates(1, 3, best[7]["id"], "tfns-eval-00017"),
        },
        "agreement": {
            "embedding_overlap": 0.31,
            "embedding_overlap_chance": 0.25,
            "vote_overlap": 0.37,
            "vote_overlap_chance": 0.25,
            "spearman_embedding": 0.42,
            "spearman_votes": 0.21,
        },
        "stages": [
            {"stage": "warm-up", "seconds": 61.25, "peak_mib": 812.4},
            {"stage": "embeddings", "seconds": 103.5, "peak_mib": 955.0},
            {"stage": "scores", "seconds": 88.0, "peak_mib": 1301.75},
        ],
        "versions": {"ntkjax": "0.1.0", "jax": "0.10.1", "flax": "0.12.8"},
        "device": "cpu (2 cores)",
        "precision": "float32",
        "seed": 0,
    }


def duplicates(exact: int, ngram: int, first: str, second: str) -> dict:
    words = " ".join(WORDS[:13])
    kinds = ["exact"] * exact + ["13-gram"] * ngram
    rows = [
        {"kind": kind, "first_id": first, "second_id": second, "words": words}
        for kind in kinds
    ]
    return {"exact": exact, "ngram": ngram, "rows": rows}


def without_votes(result: dict) -> None:
    """Takes out what a shortlist leaves."""
    result |= {"num_shortlisted": None, "num_neighbors": None, "agreement": None}
    result["distributions"]["votes"] = None
    for source in result["sources"]:
        source["shortlisted"] = None
    for rows in result["texts"].values():
        for row in rows:
            row["votes"] = None


def without_warmup(result: dict) -> None:
    """Takes out what a warm-up leaves."""
    result["warmup"] = NO_WARMUP


def bare_run() -> SelectionResult:
    """The same run with all that may be missing left out."""
    result = selection_values()
    without_votes(result)
    without_warmup(result)
    result["budget"] = {"examples": None, "tokens": 5000}
    for rows in result["texts"].values():
        for row in rows:
            row |= {"source": None, "prompt": None}
    nothing = {"exact": 0, "ngram": 0, "rows": []}
    result["duplicates"] = {"within": nothing, "target": nothing, "holdout": None}
    return record(result)
