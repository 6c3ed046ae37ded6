"""A real pretrained chat model: `uv run python -m benchmarks.pretrained`.

SmolLM2-135M-Instruct (30 layers, d = 576, V = 49,152, tied head) comes from the package
index (`peers/smollm2.py`) and is kept in `runs/`, which git ignores. Its matrices were
stored in 4 bits there, so whoever measures with it says "dequantized from 4 bits".

Before anything is measured it has to pass a gate: it answers a question by its chat
template, greedily, and its logits are those of transformers and PyTorch.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from benchmarks.processes import run_peer
from benchmarks.records import ROOT, NotMeasured
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.tokenizer import load_tokenizer, vocabulary_size
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.evaluation.generation import generate
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LoraSettings, initial_theta


NAME = "SmolLM2-135M-Instruct, dequantized from 4 bits"
FOLDER = ROOT / "runs" / "smollm2-135m-instruct"

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
TOLERANCE = 1e-4
"""Of the largest logit; 30 layers of float32 in another order of summation."""


def main() -> int:
    try:
        folder = smollm2()
        error = gate(folder)
    except NotMeasured as reason:
        print(f"benchmarks.pretrained: {reason}", file=sys.stderr)
        return 2
    print(f"{NAME}: {folder}; logits within {error:.1e} of PyTorch's largest.")
    return 0


def smollm2() -> Path:
    """The model's folder; made the first time.

    Raises:
        NotMeasured: If the package index does not give it.
    """
    if not FOLDER.is_dir():
        _run("smollm2", FOLDER)
    return FOLDER


def gate(folder: Path) -> float:
    """The largest error of a logit, by the largest logit.

    Raises:
        NotMeasured: If it is above the tolerance, or the answer is another one.
    """
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, LoraSettings())
    theta = initial_theta(model.theta_shapes, jax.random.key(0))
    turns = [{"role": "user", "content": QUESTION}]
    text = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    tokens = np.array(tokenizer(text, add_special_tokens=False).input_ids, np.int32)
    prompt = TokenizedExample("question", tokens, np.zeros(len(tokens), bool), False)
    (written,) = generate(
        model,
        theta,
        [prompt],
        max_length=len(tokens),
        max_new_tokens=16,
        stop_ids=[tokenizer.eos_token_id],
        vocab_size=vocabulary_size(tokenizer),
        mesh=data_mesh(1),
    )
    answer = tokenizer.decode(written.tolist())
    if answer != ANSWER:
        raise NotMeasured(f"{QUESTION} was answered {answer!r}, expected {ANSWER!r}.")
    error = _error(folder, model, theta, np.append(tokens, written))
    if error > TOLERANCE:
        raise NotMeasured(f"logits differ from PyTorch's by {error:.1e}.")
    return error


def _run(script: str, *words: str | Path) -> None:
    try:
        run_peer(script, *words)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotMeasured(f"peers/{script}.py failed: {error}") from error


def _error(
    folder: Path, model: LanguageModel, theta: dict, tokens: np.ndarray
) -> float:
    """The largest difference to PyTorch's logits, by the largest of them."""
    with tempfile.TemporaryDirectory() as scratch:
        given, theirs = Path(scratch) / "tokens.npy", Path(scratch) / "logits.npy"
        np.save(given, tokens)
        _run("torch_logits", folder, given, theirs)
        expected = np.load(theirs)
    program = jax.jit(lambda m, t, x: m.logits(t, m.hidden(t, x)))
    with jax.default_matmul_precision("highest"):
        found = np.asarray(program(model, theta, tokens))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


if __name__ == "__main__":
    sys.exit(main())
