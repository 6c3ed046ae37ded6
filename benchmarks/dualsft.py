"""DualSFT on real text: `uv run python -m benchmarks.dualsft`.

The task of `benchmarks.real_methods`, with 10% of the pool and 10% of the adapter's
parameters chosen. The target is the validation set. Every arm trains the fresh adapter
on its examples, in its parameters, with the same steps, batches and learning rate; none
was tuned. The last adapter is kept, so that validation chooses nothing.

How to read the results: `change` is after minus before, negative is better, of the
validation loss and of the loss on general text that no arm has seen (retention), means
over target tokens. `gains` are the surrogate's I1 and I2 at the end of the warm-up;
`single_steps` are steps along the mean gradient from there, predicted and measured.
`agreement` is Spearman's ρ over arms of gains and the fall of the validation loss. Arms
are few and share examples and masks: it carries no interval. Intervals of accuracy and
NLL are over questions, and say nothing about other seeds.

A fresh adapter has B = 0. A mask that keeps nothing of B trains nothing, and most large
parameters are in A: look at `share_in_B` of the magnitude mask.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.dualsft_arms import ARMS, Arm, Training, evaluated, predicted, trained
from benchmarks.dualsft_choices import MASKS, Amounts, cut_masks, select_all
from benchmarks.dualsft_surrogate import open_nearby
from benchmarks.real_methods import Task, financial_task, task_settings
from benchmarks.records import run, shared_folder
from ntkjax.devices.mesh import one_cpu_device_per_core
from ntkjax.math.ranking import spearman
from ntkjax.selection.options import DualsftOptions


def main(name: str = "dualsft", arms: Sequence[Arm] = ARMS) -> int:
    """Measures the arms; `name` is the module's, and that of the results file."""
    one_cpu_device_per_core()
    amounts, training = Amounts(), Training()

    def measured() -> dict:
        shared = shared_folder()
        with tempfile.TemporaryDirectory() as folder:
            task = financial_task(shared, Path(folder))
            return measure(task, amounts, training, Path(folder), arms)

    settings = {
        **task_settings(),
        "budget": amounts.budget,
        "mask_share": amounts.share,
        "warmup": {"examples": amounts.warmup_examples, **vars(amounts.warmup)},
        "dualsft": vars(DualsftOptions()),
        "training": vars(training.settings),
        "questions": f"financial_eval.jsonl, first {training.questions}",
    }
    return run(name, settings, measured)


def measure(
    task: Task,
    amounts: Amounts,
    training: Training,
    folder: Path,
    arms: Sequence[Arm] = ARMS,
) -> dict:
    """Selections, arms, and how well the surrogate orders the arms."""
    started = time.perf_counter()
    masks = list(dict.fromkeys(arm.mask for arm in arms if arm.mask is not None))
    runs = {arm.data for arm in arms} | {MASKS[mask].run for mask in masks}
    facts = select_all(task, amounts, folder, runs)
    cut_masks(amounts, folder, masks)
    chosen = time.perf_counter()
    nearby = open_nearby(task, folder / "dualsft", folder / "stages")
    rows = []
    for arm in arms:
        row = {
            "data": arm.data,
            "mask": arm.mask,
            **trained(task, training, folder, arm),
            **predicted(nearby, folder, arm),
        }
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    done = time.perf_counter()
    return {
        "seconds_of": {"selections": chosen - started, "arms": done - chosen},
        "selections": {
            name: facts[name] for name in facts if "second_to_first" in facts[name]
        },
        "base": evaluated(task, training, None, folder / "base"),
        "arms": rows,
        "agreement": {
            "all": agreement(rows),
            "masked": agreement([row for row in rows if row["mask"] is not None]),
        },
    }


def agreement(rows: Sequence[dict]) -> dict:
    """Spearman's ρ over arms of each gain and the fall of the validation loss."""
    fall = np.array([-row["validation"]["change"] for row in rows])
    return {
        "arms": len(rows),
        **{
            name: spearman(np.array([row["gains"][name] for row in rows]), fall)
            for name in rows[0]["gains"]
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
