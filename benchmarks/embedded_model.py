"""Trains the embedded model from scratch: `uv run python -m benchmarks.embedded_model`.

A Llama-family decoder of 1.4M parameters and its own tokenizer, on the
endless pretraining texts of `ntkjax.data.world`. Writes the folder that `--model
embedded` names, and its README with the loss curve.

Part of the questions about old things is never trained on: `held_out` is the share of
them that is answered right. Their values were told in other wordings, so it says how
far what is learned in one wording serves another.
"""

import argparse
import json
import time
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy
import tokenizers
from jax.sharding import NamedSharding, PartitionSpec
from tokenizers import decoders, models, pre_tokenizers, trainers

from benchmarks.records import commit
from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.families.table import read_config
from ntkjax.data.world import pretraining_texts
from ntkjax.data.world_words import OLD_THINGS
from ntkjax.devices.mesh import DATA_AXIS, data_mesh, one_cpu_device_per_core
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings, initial_theta


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1536,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "</s>",
    "model_max_length": 256,
    "clean_up_tokenization_spaces": False,
}
NO_LORA = LoraSettings(rank=1, targets=("q_proj",))
LENGTH = 24
PROMPT_WEIGHT = 0.2
"""Loss of a prompt's token; a response's token counts 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=EMBEDDED_MODEL)
    settings = parser.parse_args()
    one_cpu_device_per_core()
    started = time.monotonic()
    tokenizer = train_tokenizer(settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "config.json", CONFIG)
    write_json(settings.out / "tokenizer_config.json", TOKENIZER_CONFIG)
    tokenizer.save(str(settings.out / "tokenizer.json"))
    frozen, curve = train(settings, tokenizer)
    tensors = {k: np.asarray(v.astype(jnp.bfloat16)) for k, v in frozen.items()}
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    (settings.out / "model.safetensors").write_bytes(content)
    write_readme(settings, frozen, curve, time.monotonic() - started)


def train_tokenizer(seed: int) -> tokenizers.Tokenizer:
    """Byte-level BPE of at most 1,536 tokens, on 20,000 texts."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = ("\n".join(pair) for pair in islice(pretraining_texts(seed), 20_000))
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def is_held_out(prompt: str) -> bool:
    return zlib.crc32(prompt.encode()) % 20 == 0


def rows(
    tokenizer: tokenizers.Tokenizer, texts: Iterator[tuple[str, str]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens and loss weights of each text, padded to `LENGTH`."""
    for prompt, response in texts:
        encoded = tokenizer.encode(f"{prompt}\n{response}")
        ids = [1, *encoded.ids, 2][:LENGTH]
        ends = [0, *(end for _, end in encoded.offsets), len(prompt) + 1][:LENGTH]
        tokens = np.zeros(LENGTH, np.int32)
        weights = np.zeros(LENGTH, np.float32)
        tokens[: len(ids)] = ids
        weights[: len(ids)] = np.where(np.array(ends) > len(prompt), 1, PROMPT_WEIGHT)
        yield tokens, weights


def train(settings, tokenizer) -> tuple[dict, list[dict]]:
    config = read_config(settings.out).decoder
    graphdef, _, shapes = split_model(config, NO_LORA)
    model = LanguageModel(config, NO_LORA, graphdef, start(shapes, settings.seed))
    theta = initial_theta(model.theta_shapes, jax.random.key(0))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0,
        settings.learning_rate,
        settings.steps // 20,
        settings.steps,
        settings.learning_rate / 20,
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=0.1)
    )
    mesh = data_mesh()
    split = NamedSharding(mesh, PartitionSpec(DATA_AXIS))
    whole = NamedSharding(mesh, PartitionSpec())

    def losses(frozen, tokens, weights):
        logits = jax.vmap(partial(logits_of, model, theta, frozen))(tokens)
        found = optax.softmax_cross_entropy_with_integer_labels(
            logits[:, :-1], tokens[:, 1:]
        )
        return jnp.sum(found * weights[:, 1:]) / jnp.sum(weights[:, 1:]), logits

    @jax.jit
    def step(frozen, state, tokens, weights):
        (loss, _), gradient = jax.value_and_grad(losses, has_aux=True)(
            frozen, tokens, weights
        )
        updates, state = optimizer.update(gradient, state, frozen)
        return optax.apply_updates(frozen, updates), state, loss

    @jax.jit
    def share_right(frozen, tokens, weights):
        """Share of rows whose every response token is the likeliest one."""
        _, logits = losses(frozen, tokens, weights)
        right = jnp.argmax(logits[:, :-1], -1) == tokens[:, 1:]
        return jnp.mean(jnp.all(right | (weights[:, 1:] < 1), axis=1))

    frozen = jax.device_put(model.frozen, whole)
    state = jax.device_put(optimizer.init(frozen), whole)
    texts = pretraining_texts(settings.seed)
    batches = rows(tokenizer, (pair for pair in texts if not is_held_out(pair[0])))
    asked = held_out_questions(settings.seed)
    held_out = jax.device_put(stack(list(rows(tokenizer, asked))), split)
    curve = []
    for number in range(1, settings.steps + 1):
        batch = jax.device_put(stack(list(islice(batches, settings.batch))), split)
        frozen, state, loss = step(frozen, state, *batch)
        if number % 250 == 0 or number == settings.steps:
            share = float(share_right(frozen, *held_out))
            curve.append({"step": number, "loss": float(loss), "held_out": share})
            print(curve[-1], flush=True)
    return frozen, curve


def held_out_questions(seed: int) -> Iterator[tuple[str, str]]:
    """512 questions about old things that training leaves out."""
    texts = pretraining_texts(seed + 1)
    old = (p for p in texts if any(f" {thing}" in p[0] for thing in OLD_THINGS))
    return islice((pair for pair in old if is_held_out(pair[0])), 512)


def logits_of(model: LanguageModel, theta, frozen, tokens):
    whole = LanguageModel(model.config, model.lora, model.graphdef, frozen)
    return whole.logits(theta, whole.hidden(theta, tokens))


def start(shapes: dict, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        name: jnp.ones(leaf.shape, jnp.float32)
        if len(leaf.shape) == 1
        else jnp.asarray(0.02 * rng.normal(size=leaf.shape), jnp.float32)
        for name, leaf in sorted(shapes.items())
    }


def stack(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    return tuple(np.stack(column) for column in zip(*pairs, strict=True))


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_readme(settings, frozen: dict, curve: list[dict], seconds: float) -> None:
    size = sum(leaf.size for leaf in frozen.values())
    path = str(settings.out / "tokenizer.json")
    used = tokenizers.Tokenizer.from_file(path).get_vocab_size()
    rows = CONFIG["vocab_size"]
    lines = [
        "# The embedded model",
        "",
        f"A Llama-family decoder of {size:,} parameters with a tokenizer of its own",
        f"({used:,} tokens; the other {rows - used} rows of the head are padding),",
        "trained from scratch on the generated texts of `ntkjax/data/world.py`",
        "(nothing in them comes from a data set). bfloat16 weights; Apache-2.0 as the",
        "rest of the repository. `--model embedded` names it.",
        "",
        f"    uv run python -m benchmarks.embedded_model --steps {settings.steps} "
        f"--batch {settings.batch} --learning-rate {settings.learning_rate} "
        f"--seed {settings.seed}",
        "",
        f"took {seconds / 60:.0f} minutes on two CPU cores that did other work too, "
        f"at commit {commit()}.",
        "`held_out` is the share of 512 questions about old things that were never",
        "trained on, but whose values were told in other wordings.",
        "",
        "| step | loss | held_out |",
        "|---:|---:|---:|",
    ]
    shown = [row for row in curve if row["step"] % 250 == 0] or curve[-1:]
    lines += [
        f"| {row['step']} | {row['loss']:.3f} | {row['held_out']:.3f} |"
        for row in shown
    ]
    path = settings.out / "README.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
