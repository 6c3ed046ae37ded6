"""What `ntkjax select` reads before it computes: files, checked, and their identity."""

from dataclasses import dataclass
from pathlib import Path

from ntkjax.data.examples import Example, read_examples
from ntkjax.data.pool import Pool, open_pool
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from ntkjax.models.adapter import adapter_files
from ntkjax.models.loading import model_files
from ntkjax.models.lora import LoraSettings
from ntkjax.models.text_encoder import TextEncoder, text_encoder
from ntkjax.pipeline.select_settings import SelectSettings
from ntkjax.store.run_directory import hash_files, plain_values
from ntkjax.training.plan import require_targets


@dataclass(frozen=True, eq=False)
class Inputs:
    """Files, read and checked.

    Attributes:
        folder: The model's folder.
        encode: Examples to tokens.
        examples: The domain.
        target: The same, tokenized.
        pool: The candidates, on disk.
        holdout: Evaluation examples; None where no file was given.
    """

    folder: Path
    encode: TextEncoder
    examples: list[Example]
    target: list[TokenizedExample]
    pool: Pool
    holdout: list[Example] | None


def read_inputs(settings: SelectSettings, folder: Path) -> Inputs:
    """Reads the domain and the holdout files, and checks every line of the pool.

    Raises:
        InputError: If a file cannot be used, or holds fewer examples than are asked
            for.
    """
    encode = text_encoder(folder, settings.max_length)
    examples = read_examples(settings.target)
    if settings.num_target is not None:
        if settings.num_target > len(examples):
            raise InputError(
                f"--num-target {settings.num_target}: {_names(settings.target)} has "
                f"only {len(examples)} examples."
            )
        examples = examples[: settings.num_target]
    target = encode(examples)
    if settings.warmup == "lora":
        require_targets(target)
    pool = open_pool(settings.pool)
    if settings.budget is not None and settings.budget > len(pool):
        raise InputError(
            f"--budget {settings.budget}: {_names(settings.pool)} has only {len(pool)} "
            "examples; choose fewer."
        )
    holdout = read_examples(settings.holdout) if settings.holdout else None
    return Inputs(folder, encode, examples, target, pool, holdout)


def identity_of(
    settings: SelectSettings, lora: LoraSettings, folder: Path
) -> tuple[dict, dict]:
    """Resolved settings, and hashes of all inputs: they decide every number."""
    files = {
        "model": model_files(folder),
        "target": list(settings.target),
        "pool": list(settings.pool),
    }
    if settings.holdout:
        files["holdout"] = list(settings.holdout)
    if settings.adapter is not None:
        files["adapter"] = adapter_files(settings.adapter)
    hashes = {name: hash_files(paths) for name, paths in files.items()}
    plain = plain_values(settings, without=("out", "shard"))
    return plain | {"lora": plain_values(lora)}, hashes


def _names(paths: tuple[Path, ...]) -> str:
    return " + ".join(path.name for path in paths)
