"""`ntkjax demo`: everything once, on the embedded model and a world of known truth.

Exact against approximate kernels, a selection, and fine-tunings on the domain alone,
with random examples and with the chosen ones. Since the world says which skills a
domain needs, the share of needed examples among the chosen is known.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.commands.demo.comparison import compare, open_laboratory
from ntkjax.commands.demo.settings import (
    LORA,
    MAX_LENGTH,
    WARMUP,
    DemoSettings,
    check_demo_settings,
)
from ntkjax.commands.fidelity.run import run_fidelity
from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.commands.select.run import run_select
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.world import make_world, write_world
from ntkjax.devices.mesh import data_mesh
from ntkjax.math.intervals import mean_interval
from ntkjax.reports.demo.page import write_demo_page
from ntkjax.reports.demo.result import DemoResult, DemoSource, OverSeeds, Shares
from ntkjax.runs import environment
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.model import LoraOptions
from ntkjax.runs.progress import progress
from ntkjax.runs.run import Outcome, identify
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_directory import plain_values


RESULT, WORLD = "demo.json", "world"
MODEL = "embedded"


def run_demo(settings: DemoSettings) -> Outcome[DemoResult]:
    """Runs all parts and writes one page. A finished demo is read again.

    Raises:
        InputError: For a setting that cannot be used.
    """
    check_demo_settings(settings)
    ledger, out = Ledger(), settings.out
    resolved = plain_values(settings, without=("out",))
    run = identify("demo", out, RESULT, DemoResult, resolved, {})
    before = run.finished()
    if before is not None:
        return before
    with run.claimed(ledger, {}, relief={"": "training.micro_batch"}, is_booked=False):
        result = _result(settings, ledger)
        page = lambda path: write_demo_page(result, path)
        write_atomically(out / "report.html", page)
        facts = {"versions": result.versions}
        return run.finish(result, [WORLD, "report.html"], facts)


def _result(settings: DemoSettings, ledger: Ledger) -> DemoResult:
    """What all parts found."""
    started = time.monotonic()
    world = make_world(settings.world_seed)
    out = settings.out
    files = out / WORLD
    write_world(world, files)
    kernels = run_fidelity(_fidelity_settings(settings, files)).result.kernels
    ledger.book("fidelity")
    chosen = run_select(selection_settings(settings, files)).result
    ledger.book("selection")
    needed = world.domains[settings.domain].needed
    compared = _compared(settings, out, files, needed)
    ledger.book("fine-tunings")
    return DemoResult(
        model=MODEL,
        domain=settings.domain,
        needed=needed,
        world_seed=settings.world_seed,
        budget=settings.budget,
        seeds=settings.seeds,
        num_pool=len(world.pool),
        num_train=len(world.domains[settings.domain].train),
        num_questions=len(world.domains[settings.domain].evaluation),
        kernels=kernels,
        sources=tuple(
            DemoSource(**vars(row), needed=row.source in needed)
            for row in chosen.sources
        ),
        **compared,
        seconds={**ledger.seconds(), "all": round(time.monotonic() - started, 1)},
        versions=environment.versions(),
        device=environment.device(),
    )


def pool_choices(
    pool: Sequence[Example], selection: Path, budget: int, seed: int
) -> dict[str, list[Example]]:
    """The examples that the kernel, the vote alone and chance choose from the pool.

    Args:
        pool: All of it, in order.
        selection: Run directory of the selection.
        budget: How many.
        seed: Of the random choice.
    """
    from pyarrow import parquet

    table = parquet.read_table(selection / "scores.parquet")
    ranks, votes, similarity = (
        table[name].to_numpy() for name in ("rank", "votes", "similarity")
    )
    by_kernel = np.argsort(np.where(np.isnan(ranks), np.inf, ranks), kind="stable")
    rows = {
        "kernel": by_kernel[:budget],
        "vote": np.lexsort((-similarity, -votes))[:budget],
        "random": np.random.default_rng([seed, 6]).permutation(len(pool))[:budget],
    }
    return {name: [pool[row] for row in found] for name, found in rows.items()}


def share_of(examples: Sequence[Example], sources: Sequence[str]) -> float:
    """The share of examples that come from these sources."""
    return sum(example.source in sources for example in examples) / len(examples)


def _compared(
    settings: DemoSettings, out: Path, files: Path, needed: tuple[str, ...]
) -> dict[str, Any]:
    """Shares of needed skills, accuracies over seeds, and their paired differences."""
    read = lambda name: read_examples([files / f"{name}.jsonl"])
    pool, train = read("pool"), read(f"{settings.domain}_train")
    chosen = lambda seed: pool_choices(
        pool, out / "selection", settings.budget, settings.world_seed + seed
    )
    laboratory = open_laboratory(
        EMBEDDED_MODEL, LORA, settings.training, MAX_LENGTH, data_mesh()
    )
    questions = laboratory.questions(read(f"{settings.domain}_eval"))
    arms = {
        "domain only": lambda seed: train,
        "random + domain": lambda seed: train + chosen(seed)["random"],
        "selected + domain": lambda seed: train + chosen(seed)["kernel"],
    }
    seeds = range(settings.seeds)
    with progress("fine-tunings", len(arms) * settings.seeds, "runs") as advance:
        found = compare(laboratory, arms, questions, seeds, advance)
    random_shares = [share_of(chosen(seed)["random"], needed) for seed in seeds]
    return {
        "shares": Shares(
            kernel=share_of(chosen(0)["kernel"], needed),
            vote=share_of(chosen(0)["vote"], needed),
            random=float(np.mean(random_shares)),
            pool=share_of(pool, needed),
        ),
        "base_accuracy": laboratory.base_accuracy(questions),
        "accuracy": {name: _over_seeds(values) for name, values in found.items()},
        "differences": {
            f"selected + domain against {other}": _over_seeds(
                np.subtract(found["selected + domain"], found[other]).tolist()
            )
            for other in ("domain only", "random + domain")
        },
    }


def _over_seeds(values: list[float]) -> OverSeeds:
    return OverSeeds(**vars(mean_interval(values)), values=tuple(values))


def _fidelity_settings(settings: DemoSettings, files: Path) -> FidelitySettings:
    return FidelitySettings(
        model=MODEL,
        queries=(files / f"{settings.domain}_train.jsonl",),
        candidates=(files / "pool.jsonl",),
        out=settings.out / "fidelity",
        num_candidates=60,
        max_length=MAX_LENGTH,
        lora=LoraOptions(rank=LORA.rank),
        seed=settings.world_seed,
    )


def selection_settings(settings: DemoSettings, files: Path) -> SelectSettings:
    """Those of the demo's selection, from the world in `files`."""
    return SelectSettings(
        model=MODEL,
        target=(files / f"{settings.domain}_train.jsonl",),
        pool=(files / "pool.jsonl",),
        holdout=(files / f"{settings.domain}_eval.jsonl",),
        out=settings.out / "selection",
        budget=settings.budget,
        max_length=MAX_LENGTH,
        lora=LoraOptions(rank=LORA.rank),
        training=WARMUP,
        rows_per_shard=4096,
        seed=settings.world_seed,
    )
