"""The keys of one config file, each taken once and checked for its type."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkjax.errors import InputError


# Keys that cannot change the logits of a forward pass.
HARMLESS = {
    "_attn_implementation",
    "_attn_implementation_autoset",  # older versions of transformers wrote it
    "_name_or_path",
    "attention_dropout",  # zero outside training
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "max_length",  # of generation, as are the next two
    "temperature",
    "top_p",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",  # splits the same matrix products
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
}

NUMBER = (float, int)


class Keys:
    """What is left to read of a config file; what nobody takes is refused by `done`."""

    def __init__(self, path: Path, raw: dict[str, Any]):
        self.path = path
        self.left = {k: v for k, v in raw.items() if k not in HARMLESS}

    def error(self, text: str) -> InputError:
        """An error that names the file."""
        return InputError(f"{self.path}: {text}.")

    def take(self, key: str, kind: type | tuple, default: Any = ...) -> Any:
        """The value, checked; the default where it is missing or null."""
        value = self.left.pop(key, None)
        if value is None:
            if default is ...:
                raise self.error(f"required key {key!r} is missing")
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (
            isinstance(value, bool) and bool not in kinds
        ):
            names = " or ".join(k.__name__ for k in kinds)
            raise self.error(f"key {key!r} must be {names}, got {value!r}")
        return value

    def is_null(self, key: str) -> bool:
        """Whether the file has the key and says null, which may mean "without"."""
        return key in self.left and self.left[key] is None

    def positive(self, key: str, default: Any = ...) -> int:
        """A count."""
        value = self.take(key, int, default)
        if value < 1:
            raise self.error(f"key {key!r} must be positive, got {value}")
        return value

    def positive_number(self, key: str, default: Any = ...) -> float:
        """A real number above zero."""
        value = self.take(key, NUMBER, default)
        if not value > 0:
            raise self.error(f"key {key!r} must be positive, got {value}")
        return float(value)

    def optional_number(self, key: str, default: float | None = None) -> float | None:
        """A positive number, or None for null: only a missing key has the default."""
        if self.is_null(key) or (key not in self.left and default is None):
            self.left.pop(key, None)
            return None
        return self.positive_number(key, default)

    def only(self, key: str, kind: type | tuple, expected: Any, reason: str) -> None:
        """Takes a key that is read for one value alone, which is also its default."""
        value = self.take(key, kind, expected)
        if value != expected:
            raise self.error(f"{key}={value!r} is not supported: {reason}")

    def one_of(self, key: str, names: Sequence[str], default: Any = ...) -> str:
        """A word of a list."""
        value = self.take(key, str, default)
        if value not in names:
            raise self.error(
                f"{key} {value!r} is not supported; supported are: "
                f"{', '.join(sorted(names))}"
            )
        return value

    def done(self) -> None:
        """Raises `InputError` if there is a key that nobody took."""
        if self.left.get("quantization_config") is not None:
            raise self.error(
                "key 'quantization_config': quantized weights cannot be read; choose a "
                "checkpoint in bfloat16, float16 or float32"
            )
        if self.left:
            pairs = ", ".join(f"{k}={v!r}" for k, v in sorted(self.left.items()))
            raise self.error(
                "unknown config keys, refused because they may change the model's "
                f"output: {pairs[:500]}"
            )
