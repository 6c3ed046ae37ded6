"""Checkpoint folders to damage: copies of the golden ones with edits."""

import json
import pathlib

from safetensors.numpy import load_file, save_file


GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
PLAIN = GOLDEN / "llama" / "plain"


def config_json(**changes) -> dict:
    """`llama/plain`'s config with changed keys; `...` takes a key out."""
    raw = json.loads((PLAIN / "config.json").read_bytes()) | changes
    return {key: value for key, value in raw.items() if value is not ...}


def write_config(folder: pathlib.Path, **changes) -> pathlib.Path:
    (folder / "config.json").write_text(json.dumps(config_json(**changes)))
    return folder


def plain_tensors(**changes) -> dict:
    """`llama/plain`'s tensors with changes (`__` for `.`); `...` takes one out."""
    tensors = load_file(PLAIN / "model.safetensors")
    tensors |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in tensors.items() if value is not ...}


def write_plain(folder: pathlib.Path, tensors=None, **config) -> pathlib.Path:
    """A whole checkpoint: `llama/plain`, edited."""
    write_config(folder, **config)
    tensors = plain_tensors() if tensors is None else tensors
    save_file(tensors, folder / "model.safetensors")
    return folder
