"""Arms of `benchmarks.dualsft`: examples and parameters that are trained together."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import safetensors.numpy

from benchmarks.dualsft_choices import AFTER_LESS, chosen_file, mask_file
from benchmarks.dualsft_surrogate import Nearby
from benchmarks.real_methods import Task
from ntkjax.checkpoints.mask import Mask, count_kept
from ntkjax.commands.evaluate.run import run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.commands.train.run import run_train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.store.run_directory import plain_values
from ntkjax.training.settings import TrainingSettings


class Arm(NamedTuple):
    """Names of a run that chose examples, and of a mask; None for all parameters."""

    data: str
    mask: str | None


ARMS = (
    Arm("dualsft", "dualsft"),
    Arm("dualsft", "signed"),
    Arm("dualsft", "magnitude"),
    Arm("dualsft", None),
    Arm("random", "dualsft"),
    Arm("random", "random"),
    Arm("random", None),
    Arm("less", AFTER_LESS),
    Arm("data first", "data first"),
    Arm("parameters first", "parameters first"),
    Arm("two rounds", "two rounds"),
    Arm("reverse", "reverse"),
)


@dataclass(frozen=True)
class Training:
    """How every arm is trained, and how many questions it is asked."""

    settings: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            steps=60, batch_size=16, learning_rate=1e-3
        )
    )
    questions: int = 300


def trained(task: Task, training: Training, folder: Path, arm: Arm) -> dict:
    """Losses before and after, and what the evaluation says."""
    out = folder / "arms" / f"{arm.data}, {arm.mask}"
    run = run_train(
        TrainSettings(
            model=task.model,
            data=(chosen_file(folder, arm.data),),
            out=out / "train",
            validation=(task.target,),
            validate_every=training.settings.steps,
            retain=(task.retain,),
            keep="last",
            mask=None if arm.mask is None else mask_file(folder, arm.mask),
            training=training.settings,
            max_length=task.max_length,
        )
    ).result
    validation, retention = run.validation_loss, run.retention_loss
    assert validation is not None
    assert retention is not None
    return {
        "parameters": run.num_parameters if run.mask is None else run.mask.kept,
        "steps": run.num_steps,
        "tokens": run.num_tokens,
        "validation": _change(validation.before, validation.last),
        "retention": _change(retention.before, retention.after),
        "overall": evaluated(task, training, out / "train" / "adapter", out / "eval"),
    }


def evaluated(task: Task, training: Training, adapter: Path | None, out: Path) -> dict:
    """Accuracy and NLL with their intervals; without an adapter, the model's own."""
    settings = EvaluateSettings(
        model=task.model,
        data=(task.questions,),
        out=out,
        adapter=adapter,
        num=training.questions,
        max_length=task.max_length,
    )
    overall = plain_values(run_evaluate(settings).result.overall)
    return {name: overall[name] for name in ("questions", "accuracy", "nll")}


def predicted(nearby: Nearby, folder: Path, arm: Arm) -> dict:
    """What the surrogate says of the arm, and what single steps do."""
    data, mask = chosen_file(folder, arm.data), None
    if arm.mask is not None:
        mask = safetensors.numpy.load_file(mask_file(folder, arm.mask))
    return {
        "share_in_B": None if mask is None else _share_in_B(mask),
        "gains": nearby.gains(data, mask),
        "single_steps": nearby.steps(data, mask),
    }


def _change(before: float, after: float) -> dict[str, float]:
    return {"before": before, "after": after, "change": after - before}


def _share_in_B(mask: Mask) -> float:
    """Share of a mask's parameters that are in B, which starts at zero.

    A mask without any trains nothing: where B is zero and stays so, A has no effect.
    """
    kept = count_kept({n: leaf for n, leaf in mask.items() if n.endswith("lora_B")})
    return kept / count_kept(mask)
