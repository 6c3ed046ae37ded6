"""Examples and masks that the arms of `benchmarks.dualsft` are made of."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.real_methods import Task
from ntkjax.checkpoints.mask import write_mask
from ntkjax.checkpoints.parameter_scores import read_parameter_scores
from ntkjax.commands.mask.run import run_mask
from ntkjax.commands.mask.settings import MaskSettings
from ntkjax.commands.select.outputs import SCORES
from ntkjax.commands.select.run import run_select
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.data.examples import read_examples
from ntkjax.selection.masks import mask_budget, random_mask
from ntkjax.selection.options import DualsftOptions, MaskOptions, SketchOptions
from ntkjax.training.settings import TrainingSettings


AFTER_LESS = "after less"
"""A run whose pool is what LESS chose: its mask belongs to these examples."""

IN_B = tuple(f"random in B, {draw}" for draw in range(3))
"""Random masks of parameters in B alone, as nearly all that DualSFT keeps are."""

RUNS: dict[str, dict[str, Any]] = {
    "dualsft": {},
    "reverse": {"reverse": True},
    "data first": {"dualsft": DualsftOptions(order="data-first")},
    "parameters first": {"dualsft": DualsftOptions(order="parameters-first")},
    "two rounds": {"dualsft": DualsftOptions(rounds=2)},
    "random": {"method": "random"},
    "less": {"method": "less"},
    AFTER_LESS: {},
}
"""Settings of `select`, which are those of dualsft unless said otherwise."""


class Cut(NamedTuple):
    """The run whose scores a mask is cut from, and how."""

    run: str
    kind: str = "score"
    options: MaskOptions = MaskOptions()


MASKS = {
    "dualsft": Cut("dualsft"),
    "signed": Cut("dualsft", options=MaskOptions(sign="signed")),
    "magnitude": Cut("dualsft", kind="magnitude"),
    "random": Cut("dualsft", kind="random"),
    **{name: Cut("dualsft", kind="random") for name in IN_B},
    "reverse": Cut("dualsft", options=MaskOptions(reverse=True)),
    "data first": Cut("data first"),
    "parameters first": Cut("parameters first"),
    "two rounds": Cut("two rounds"),
    AFTER_LESS: Cut(AFTER_LESS),
}


@dataclass(frozen=True)
class Amounts:
    """How much is chosen.

    Attributes:
        budget: Examples.
        share: Of the adapter's parameters.
        warmup: Training before the selections.
        warmup_examples: How many of the pool it sees.
        sketch: Numbers in place of a gradient, for LESS.
    """

    budget: int = 400
    share: float = 0.1
    warmup: TrainingSettings = field(default_factory=TrainingSettings)
    warmup_examples: int = 200
    sketch: int = 2048


def chosen_file(folder: Path, run: str) -> Path:
    """The examples that a run chose."""
    return folder / run / "selected.jsonl"


def mask_file(folder: Path, mask: str) -> Path:
    return folder / "masks" / f"{mask}.safetensors"


def select_all(
    task: Task, amounts: Amounts, folder: Path, names: Collection[str]
) -> dict[str, dict]:
    """Runs `select` for these names of `RUNS`; what the methods say of each.

    All but `AFTER_LESS`, whose pool is another, share what passes find.
    """
    num_pool = len(read_examples([task.pool]))
    facts = {}
    for name, changes in RUNS.items():
        if name not in names:
            continue
        settings = SelectSettings(
            model=task.model,
            target=(task.target,),
            pool=(task.pool,),
            out=folder / name,
            method="dualsft",
            budget=amounts.budget,
            max_length=task.max_length,
            stages=folder / "stages",
        )
        settings = replace(settings, **changes)
        if settings.method != "random":
            share = amounts.warmup_examples / num_pool
            settings = replace(settings, training=amounts.warmup, warmup_share=share)
        if settings.method == "less":
            settings = replace(settings, sketch=SketchOptions(size=amounts.sketch))
        if name == AFTER_LESS:
            settings = replace(
                settings,
                pool=(chosen_file(folder, "less"),),
                stages=None,
                warmup_share=min(1.0, amounts.warmup_examples / amounts.budget),
            )
        if settings.method == "dualsft":
            settings = replace(settings, mask=MaskOptions(share=amounts.share))
        facts[name] = run_select(settings).result.method_facts
    return facts


def cut_masks(amounts: Amounts, folder: Path, names: Collection[str]) -> None:
    """Runs `mask` for these names of `MASKS`, all of the same size."""
    (folder / "masks").mkdir()
    for name in names:
        cut = MASKS[name]
        if name in IN_B:
            draw, run = IN_B.index(name), folder / cut.run
            _cut_in_B(amounts, run, mask_file(folder, name), draw)
            continue
        options = replace(cut.options, share=amounts.share)
        scores, out = folder / cut.run, mask_file(folder, name)
        run_mask(MaskSettings(scores, out, cut.kind, options))


def _cut_in_B(amounts: Amounts, run: Path, out: Path, draw: int) -> None:
    _, values, facts = read_parameter_scores(run / SCORES)
    share = MaskOptions(share=amounts.share)
    budget = mask_budget(sum(leaf.size for leaf in values.values()), share)
    shapes = {n: leaf.shape for n, leaf in values.items() if n.endswith("lora_B")}
    mask = random_mask(shapes, MaskOptions(budget=budget), seed=draw)
    nothing = {name: np.zeros(leaf.shape, bool) for name, leaf in values.items()}
    write_mask(out, nothing | mask, facts)
