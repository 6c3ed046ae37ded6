"""Time and memory of loading a checkpoint in shards: `python -m benchmarks.loading`.

A random model is written as four shards and an index, then loaded in a process of its
own for each case. Numbers drawn by chance are compared with the file before anything
is reported. Memory is the most that was resident while loading, beyond what the
process had before, over the bytes of the loaded weights.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from benchmarks.records import run
from ntkjax.checkpoints.checkpoint import INDEX, Checkpoint
from ntkjax.checkpoints.families.table import read_config
from ntkjax.models.language_model import split_model
from ntkjax.store.atomic import write_json


GIB = 2**30
SHARDS = 4
CASES = (("float32", "float32"), ("bfloat16", "bfloat16"), ("bfloat16", "float32"))
"""Types of the files and of the loaded weights."""

_SAMPLES = 1000
_PROGRAM = """
import json, sys
from pathlib import Path
from benchmarks.loading import measure
print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
"""


def write_checkpoint(folder: Path, dtype: str, num_bytes: int) -> int:
    """A random Llama of at most so many bytes, in four shards; returns its bytes.

    At least one eighth of it is the embedding, then come layers, and the last tensor of
    the last file is the head, as large: the worst time to hold a tensor twice.
    """
    size = num_bytes // jnp.dtype(dtype).itemsize
    hidden = 2 ** int(math.log2((size / 64) ** 0.5))
    inner = 8 * hidden // 3
    layer = 4 * hidden**2 + 3 * hidden * inner + 2 * hidden
    num_layers = 3 * size // 4 // layer
    config = {
        "model_type": "llama",
        "vocab_size": (size - num_layers * layer - hidden) // (2 * hidden),
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden // 64,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    }
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config)
    _, _, shapes = split_model(read_config(folder).decoder, None)
    rng = np.random.default_rng(0)
    names = sorted(shapes, key=lambda name: (name == "lm_head.weight", name))
    files = [f"model-{i + 1:05}-of-{SHARDS:05}.safetensors" for i in range(SHARDS)]
    written, weight_map = 0, {}
    for file, part in zip(files, np.array_split(names, SHARDS), strict=True):
        arrays = {
            name: rng.standard_normal(shapes[name].shape, np.float32).astype(dtype)
            for name in part.tolist()
        }
        safetensors.numpy.save_file(arrays, folder / file, {"format": "pt"})
        written += sum(array.nbytes for array in arrays.values())
        weight_map |= dict.fromkeys(arrays, file)
    index = {"metadata": {"total_size": written}, "weight_map": weight_map}
    write_json(folder / INDEX, index)
    return written


def load_apart(folder: Path, dtype: str) -> dict:
    """`measure` in a fresh process.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    command = [sys.executable, "-c", _PROGRAM, str(folder), dtype]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(folder: Path, dtype: str) -> dict:
    """Loads a checkpoint: `seconds`, `weights_mib`, `peak_mib`, and their `ratio`."""
    from ntkjax.checkpoints.loading import load_model

    jnp.zeros(3).block_until_ready()  # the backend is there
    before = _resident("VmRSS")
    _forget_peak()
    started = time.perf_counter()
    model = load_model(folder, None, dtype)
    seconds = time.perf_counter() - started
    peak = _resident("VmHWM") - before
    weights = sum(leaf.nbytes for leaf in model.frozen.values())
    _check(folder, model.frozen, dtype)
    return {
        "seconds": round(seconds, 2),
        "weights_mib": round(weights / 2**20, 1),
        "peak_mib": round(peak / 2**20, 1),
        "ratio": round(peak / weights, 4),
    }


def _check(folder: Path, frozen: dict, dtype: str) -> None:
    """Compares numbers of every tensor with what the safetensors library reads."""
    rng = np.random.default_rng(1)
    for name, tensor in Checkpoint(folder).tensors.items():
        with safetensors.safe_open(tensor.path, framework="np") as file:
            stored = file.get_tensor(name)
        places = rng.integers(0, stored.size, _SAMPLES)
        expected = stored.reshape(-1)[places].astype(dtype)
        found = np.asarray(frozen[name]).reshape(-1)[places]
        assert found.dtype == expected.dtype, name
        assert found.tobytes() == expected.tobytes(), name


def _resident(what: str) -> int:
    """Bytes that are resident now (VmRSS), or were at most (VmHWM); Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {what} in /proc/self/status")


def _forget_peak() -> None:
    """Lets the peak begin at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> int:
    return run("loading", {"gib": 2, "shards": SHARDS}, measure_all)


def measure_all() -> dict:
    rows = []
    for stored, dtype in CASES:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "model"
            written = write_checkpoint(folder, stored, 2 * GIB)
            found = load_apart(folder, dtype)
        row = {"stored": stored, "loaded": dtype, "file_mib": round(written / 2**20, 1)}
        rows.append(row | found)
        print(f"{stored} as {dtype}: {found}", file=sys.stderr)
    return {"cases": rows}


if __name__ == "__main__":
    raise SystemExit(main())
