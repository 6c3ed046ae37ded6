"""A tiny world to run commands in: a Llama of 64 tokens, its tokenizer, two files.

Everything is a copy that a test may damage. The model is the first layer of
`tests/golden/llama/plain`: half the time to compile.
"""

import json
import pathlib
import shutil
import string
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers


GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
# Ġ and Ċ are how byte-level tokenizers spell space and newline.
SMALL_ALPHABET = [*string.ascii_lowercase, "Ġ", "Ċ"]
ALPHABET = [*SMALL_ALPHABET, *string.ascii_uppercase, *"012345"]
NUM_QUERIES, NUM_CANDIDATES = 20, 30


@dataclass(frozen=True)
class World:
    """A folder with `model/`, `queries.jsonl` and `candidates.jsonl`."""

    root: pathlib.Path

    @property
    def model(self) -> pathlib.Path:
        return self.root / "model"

    @property
    def queries(self) -> pathlib.Path:
        return self.root / "queries.jsonl"

    @property
    def candidates(self) -> pathlib.Path:
        return self.root / "candidates.jsonl"

    @property
    def out(self) -> pathlib.Path:
        return self.root / "run"

    def settings(self, **changes) -> dict:
        """Keyword arguments of a small `FidelitySettings`."""
        small = {
            "model": str(self.model),
            "queries": (self.queries,),
            "candidates": (self.candidates,),
            "out": self.out,
            "num_queries": 3,
            "num_candidates": 6,
            "max_length": 24,
            "kernels": ("spectral_1", "random_2", "deflated_1_2"),
            "sketches": ("shift:64",),
            "top": 2,
            "cosine_tokens": 5,
        }
        return small | changes

    def flags(self, **changes) -> list[str]:
        """The same on the command line; a change to None leaves a flag out.

        `lora__rank` stands for --lora.rank.
        """
        words = []
        for name, value in self.settings(**changes).items():
            if value is None:
                continue
            values = value if isinstance(value, tuple) else (value,)
            flag = name.replace("__", ".").replace("_", "-")
            words += [f"--{flag}", *map(str, values)]
        return words

    def edit_config(self, **changes) -> None:
        path = self.model / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def edit_tensors(self, edit) -> None:
        """Lets `edit` change the dict of the model's tensors."""
        path = self.model / "model.safetensors"
        tensors = safetensors.numpy.load_file(path)
        edit(tensors)
        safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})

    def write_adapter(self, name: str, seed: int = 0, **changes) -> pathlib.Path:
        """A random adapter of rank 2 on two matrices, in PEFT's format."""
        folder = self.root / name
        folder.mkdir()
        config = {
            "peft_type": "LORA",
            "r": 2,
            "lora_alpha": 4,
            "target_modules": ["q_proj", "down_proj"],
        }
        (folder / "adapter_config.json").write_text(json.dumps(config | changes))
        rng = np.random.default_rng(seed)
        tensors = {}
        for module, num_out, num_in in (
            ("self_attn.q_proj", 32, 32),
            ("mlp.down_proj", 32, 48),
        ):
            prefix = f"base_model.model.model.layers.0.{module}"
            for matrix, shape in (("A", (2, num_in)), ("B", (num_out, 2))):
                drawn = 0.3 * rng.normal(size=shape).astype(np.float32)
                tensors[f"{prefix}.lora_{matrix}.weight"] = drawn
        safetensors.numpy.save_file(tensors, folder / "adapter_model.safetensors")
        return folder


def build_world(root: pathlib.Path, alphabet=ALPHABET) -> World:
    world = World(root)
    source = GOLDEN / "llama" / "plain"
    world.model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(source / name, world.model / name)
    world.edit_config(num_hidden_layers=1)
    world.edit_tensors(_drop_second_layer)
    save_tokenizer(world.model, alphabet)
    rng = np.random.default_rng(0)
    write_records(world.queries, [_record(rng, "q", i) for i in range(NUM_QUERIES)])
    write_records(
        world.candidates, [_record(rng, "c", i) for i in range(NUM_CANDIDATES)]
    )
    return world


def _drop_second_layer(tensors: dict) -> None:
    for name in [name for name in tensors if name.startswith("model.layers.1.")]:
        del tensors[name]


def write_records(path: pathlib.Path, records: list[dict]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def save_tokenizer(folder: pathlib.Path, alphabet) -> None:
    from transformers import PreTrainedTokenizerFast

    vocab = {piece: number for number, piece in enumerate([*SPECIAL, *alphabet])}
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=[], unk_token="<unk>")
    )
    backend.add_special_tokens(SPECIAL)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
    fast.save_pretrained(folder)


def _record(rng: np.random.Generator, kind: str, index: int) -> dict:
    def word() -> str:
        letters = rng.choice(list(string.ascii_lowercase), rng.integers(2, 6))
        return "".join(letters)

    prompt = " ".join(word() for _ in range(rng.integers(1, 3)))
    return {"id": f"{kind}{index}", "prompt": prompt, "response": word()}
