"""DualSFT's surrogate for examples and a mask, and what one step really does.

Everything is taken at θ_w, the end of a selection's warm-up, for the mean loss over the
validation examples. Its gradient is v_new alone: the divergence that selection adds to
it says nothing about this loss.
"""

from dataclasses import dataclass, field
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from benchmarks.real_methods import Task
from ntkjax.checkpoints.loading import find_model
from ntkjax.checkpoints.mask import Mask
from ntkjax.checkpoints.text_encoder import TextEncoder, text_encoder
from ntkjax.data.examples import read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.notation import Theta
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sums import HostTree
from ntkjax.passes.loss_gradients import (
    fisher_diagonal,
    losses,
    mean_loss_gradient,
)
from ntkjax.passes.run_pass import Batching
from ntkjax.runs.model import LoraOptions, prepare, resolve_lora
from ntkjax.selection.dualsft.surrogate import Surrogate, masked, predicted_change
from ntkjax.selection.options import DualsftOptions


KAPPA = DualsftOptions().kappa
NUM_FISHER = 256
STEPS = (0.01, 0.1, 1.0, 10.0)
"""η of single steps."""


@dataclass(frozen=True, eq=False)
class Nearby:
    """The validation loss near θ_w.

    Attributes:
        encode: Examples to tokens.
        f: Their losses.
        theta: θ_w.
        validation: The examples of the loss.
        batching: Of all passes.
        gradient: v, the gradient of the validation loss.
        curvatures: c by name: Adam's second moment, and the Fisher diagonal of
            candidates.
        mean_gradients: Ḡ_S by file, as far as it was asked for.
    """

    encode: TextEncoder
    f: Loss
    theta: Theta
    validation: list[TokenizedExample]
    batching: Batching
    gradient: HostTree
    curvatures: dict[str, HostTree]
    mean_gradients: dict[Path, HostTree] = field(default_factory=dict)

    def loss(self, theta: Theta) -> float:
        """The validation loss: a mean over examples."""
        return float(losses(self.f, theta, self.validation, self.batching).mean())

    def mean_gradient(self, data: Path) -> HostTree:
        """Ḡ_S of the examples of a file. Cost: F + B each, once for each file."""
        if data not in self.mean_gradients:
            examples = self.encode(read_examples([data]))
            found = mean_loss_gradient(self.f, self.theta, examples, self.batching)
            self.mean_gradients[data] = found
        return self.mean_gradients[data]

    def gains(self, data: Path, mask: Mask | None) -> dict:
        """I1 and, for each curvature, I2."""
        mean = self.mean_gradient(data)
        second = {
            f"I2_{name}": Surrogate(self.gradient, curvature, KAPPA).gains(mean, mask)[
                1
            ]
            for name, curvature in self.curvatures.items()
        }
        return {"I1": Surrogate(self.gradient).gains(mean, mask)[0], **second}

    def steps(self, data: Path, mask: Mask | None) -> list[dict]:
        """What θ_w − η m⊙Ḡ_S does to the validation loss: predicted and measured.

        `ratio` is the measured change over the one that I1 predicts.
        """
        moved = masked(self.mean_gradient(data), mask)
        before, rows = self.loss(self.theta), []
        for step in STEPS:
            measured = self.loss(self._after(moved, step)) - before
            predict = lambda c, step=step: predicted_change(
                self.gradient, c, moved, None, step
            )
            first = predict(None)
            row = {"step": step, "measured": measured, "first_order": first}
            for name, curvature in self.curvatures.items():
                row[f"second_order_{name}"] = predict(curvature)
            rows.append({**row, "ratio": measured / first})
        return rows

    def _after(self, moved: HostTree, step: float) -> Theta:
        """θ_w after a step of this size."""
        return {
            name: leaf - jnp.asarray(step * moved[name], jnp.float32)
            for name, leaf in self.theta.items()
        }


def open_nearby(task: Task, run: Path, stages: Path) -> Nearby:
    """The loss on the task's target, at the adapter of a run of `select`.

    Args:
        task: Model, target and pool.
        run: The run directory.
        stages: What it shares with others; it holds one warm-up.
    """
    folder = find_model(task.model)
    encode = text_encoder(folder, task.max_length)
    prepared = prepare(
        folder,
        resolve_lora(LoraOptions(), run / "adapter"),
        run / "adapter",
        dtype="float32",
        seed=0,
    )
    f, theta = Loss(prepared.model), prepared.theta
    batching = Batching("all", None, task.max_length, data_mesh())
    pool = read_examples([task.pool])
    rows = np.random.default_rng([0, 1]).permutation(len(pool))[:NUM_FISHER]
    drawn = encode([pool[row] for row in rows])
    validation = encode(read_examples([task.target]))
    return Nearby(
        encode=encode,
        f=f,
        theta=theta,
        validation=validation,
        batching=batching,
        gradient=mean_loss_gradient(f, theta, validation, batching),
        curvatures={
            "adam": _second_moment(stages),
            "fisher": fisher_diagonal(f, theta, drawn, batching),
        },
    )


def _second_moment(stages: Path) -> HostTree:
    """Adam's, at the end of the only warm-up."""
    (warmup,) = [path for path in stages.glob("warmup-*") if path.is_dir()]
    stored = safetensors.numpy.load_file(max(warmup.glob("step-*.safetensors")))
    return {
        name.removeprefix("second/"): leaf.astype(np.float64)
        for name, leaf in stored.items()
        if name.startswith("second/")
    }
