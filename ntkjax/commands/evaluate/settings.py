"""Settings of `ntkjax evaluate`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.errors import InputError, setting
from ntkjax.rules import COUNT, FILES, SEED, check, one_of
from ntkjax.runs.model import DTYPES
from ntkjax.settings.devices import (
    DeviceOptions,
    Devices,
    check_device_options,
)
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.settings.template import TEXT_RULES


@dataclass(frozen=True)
class EvaluateSettings:
    """How well does a model, with or without an adapter, do on these examples?

    Attributes:
        model: Hugging Face folder, or hub id as owner/name or owner/name@revision.
        data: One file of examples or more (formats: `ntkjax data --help`). Those with
            choices and an answer are also answered by likelihood.
        out: Run directory to write, local or gs://BUCKET/FOLDER.
        adapter: Folder of a PEFT LoRA adapter. Default: the model alone.
        num: Examples to take, the first in file order. Default: all.
        max_length: Longest text in tokens; longer ones are cut.
        template: How examples become text: plain (prompt, line feed, response), chat
            (the tokenizer's own template), or auto: chat for records with messages.
        train_on: Which answers of a chat count as its response: the last, or all.
        template_date: What a chat template is told when it asks for today's date.
        tokens_per_batch: Tokens that each device computes side by side. Default: 512
            on CPUs, 2,048 elsewhere.
        generate: Also generate an answer to each prompt, and compare it with the
            response.
        max_new_tokens: Longest generated answer in tokens.
        dtype: Type of frozen weights and activations: float32, bfloat16, float16, or
            stored (that of the files).
        seed: Decides the resamples behind the intervals.
        devices: How the devices share the work.
    """

    model: str
    data: tuple[Path, ...]
    out: RunPathFlag
    adapter: Path | None = None
    num: int | None = None
    max_length: int = 256
    template: str = "auto"
    train_on: str = "last"
    template_date: str = DEFAULT_TEMPLATE.date
    tokens_per_batch: int | None = None
    generate: bool = False
    max_new_tokens: int = 32
    dtype: str = "float32"
    seed: int = 0
    devices: Devices = field(default_factory=DeviceOptions)


_RULES = {
    **TEXT_RULES,
    "data": FILES,
    "num": COUNT,
    "tokens_per_batch": COUNT,
    "max_new_tokens": COUNT,
    "dtype": one_of(DTYPES),
    "seed": SEED,
}


def check_evaluate_settings(settings: EvaluateSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check(settings, _RULES)
    check_device_options(settings.devices)
    if settings.generate and settings.max_new_tokens >= settings.max_length:
        raise InputError(
            f"expected 1 to {settings.max_length - 1}, below {setting('max_length')}, "
            "so that the prompt has room.",
            field="max_new_tokens",
            value=settings.max_new_tokens,
        )
