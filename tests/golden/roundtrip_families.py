"""Trains an adapter of every golden family, for PEFT to read.

    uv run python -m tests.golden.roundtrip_families OUT

Two steps from a fresh adapter. For each variant, `OUT/<family>/<variant>/` gets the
adapter and `computed.safetensors` with the logits that this package computes with it.
Prints the commands of `check_peft_roundtrip.py` that compare them.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file

from ntkjax.checkpoints.adapter import write_adapter
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.devices.precision import full_precision
from ntkjax.models.lora import LoraSettings, initial_theta
from ntkjax.store.atomic import write_tensors
from ntkjax.training.loop import train_adapter
from ntkjax.training.settings import TrainingSettings
from tests.golden.parity import GOLDEN, distance, folders, hidden_and_logits


SETTINGS = TrainingSettings(steps=2, batch_size=2, learning_rate=0.1)


def main() -> None:
    out = Path(sys.argv[1])
    for family, variants in folders().items():
        for variant in variants:
            write_trained(variant, out / family / variant.name)
            print(command(variant, out / family / variant.name), flush=True)


def write_trained(folder: Path, out: Path) -> None:
    """Trains an adapter on the variant's own tokens; writes it and its logits.

    Raises:
        ValueError: If training hardly changed the model: then there is nothing to see.
    """
    expected = load_file(folder / "expected.safetensors")
    tokens, lengths = expected["tokens"], expected["lengths"]
    model = load_model(folder, LoraSettings(rank=2))
    examples = [
        TokenizedExample(str(i), tokens[i, :length], np.ones(length, bool), False)
        for i, length in enumerate(lengths)
        if length > 1
    ]
    theta = train_adapter(
        model,
        initial_theta(model.theta_shapes, jax.random.key(0)),
        [examples],
        SETTINGS,
        seed=0,
        max_length=tokens.shape[1],
        mesh=data_mesh(1),
    ).theta
    with full_precision():
        logits = np.asarray(jax.jit(hidden_and_logits)(model, theta, tokens)[1])
    real = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    if distance(logits[real], expected["logits"][real]) < 0.01:
        raise ValueError(f"{folder}: two steps of training change almost nothing.")
    write_adapter(out, theta, model, str(folder.relative_to(GOLDEN)))
    computed = {"tokens": tokens, "lengths": lengths, "logits": logits}
    write_tensors(out / "computed.safetensors", computed)


def command(folder: Path, out: Path) -> str:
    """The line that lets PEFT compare."""
    script = GOLDEN / "check_peft_roundtrip.py"
    root = GOLDEN.parents[1]
    base, script = folder.relative_to(root), script.relative_to(root)
    return f"uv run --python 3.11 {script} {base} {out} {out / 'computed.safetensors'}"


if __name__ == "__main__":
    main()
