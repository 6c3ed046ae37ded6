"""Settings of `ntkjax train`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.errors import InputError, setting
from ntkjax.models.lora import check_lora
from ntkjax.rules import COUNT, FILES, SEED, Rule, check, one_of
from ntkjax.runs.model import DTYPES, PARAMETERS, LoraOptions
from ntkjax.settings.devices import (
    DeviceOptions,
    Devices,
    check_device_options,
)
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.settings.template import TEXT_RULES
from ntkjax.training.order import check_mix
from ntkjax.training.settings import TrainingSettings, check_training_settings


KEEPS = ("best", "last")


@dataclass(frozen=True)
class TrainSettings:
    """Fine-tune a LoRA adapter, or a whole small model, on one or more files.

    Attributes:
        model: Hugging Face folder, or hub id as owner/name or owner/name@revision.
        data: One file of examples or more (formats: `ntkjax data --help`).
        out: Run directory to write, local or gs://BUCKET/FOLDER; the adapter goes to
            its folder adapter/, a whole model to model/.
        mix: Weights of the data files, one for each; examples are drawn by them.
            Default: every example once per epoch.
        validation: Files of held-out examples.
        validation_share: Share of the data to hold out, in place of --validation.
        validate_every: Steps between validations. Default: those of an epoch.
        retain: Files of general text; the loss on them is measured before and after.
        keep: Which adapter to keep: best (lowest validation loss; the last one where
            there is no validation) or last.
        parameters: What to train: lora (an adapter) or full (all weights).
        mask: File of the parameters that may move, from `ntkjax select`; the others
            keep their bits. Default: all may.
        adapter: Folder of a PEFT LoRA adapter to go on from. Default: a fresh one.
        lora: The adapter, where --adapter gives none.
        training: How long, in which steps, with which optimizer.
        max_length: Longest example in tokens; longer ones are cut.
        template: How examples become text: plain (prompt, line feed, response), chat
            (the tokenizer's own template), or auto: chat for records with messages.
        train_on: Which answers of a chat are targets: all, or the last.
        template_date: What a chat template is told when it asks for today's date.
        seed: Decides a fresh adapter, the held-out share, and the order of examples.
        dtype: Type of frozen weights and activations: float32, bfloat16, float16, or
            stored (that of the files).
        save_every: Steps between checkpoints, from which an interrupted run goes on.
        devices: How the devices share the work.
    """

    model: str
    data: tuple[Path, ...]
    out: RunPathFlag
    mix: tuple[float, ...] | None = None
    validation: tuple[Path, ...] = ()
    validation_share: float = 0.0
    validate_every: int | None = None
    retain: tuple[Path, ...] = ()
    keep: str = "best"
    parameters: str = "lora"
    mask: Path | None = None
    adapter: Path | None = None
    lora: LoraOptions = field(default_factory=LoraOptions)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    max_length: int = 256
    template: str = "auto"
    train_on: str = "all"
    template_date: str = DEFAULT_TEMPLATE.date
    seed: int = 0
    dtype: str = "float32"
    save_every: int = 50
    devices: Devices = field(default_factory=DeviceOptions)


_RULES = {
    **TEXT_RULES,
    "data": FILES,
    "validation_share": Rule(lambda value: 0 <= value < 1, "0 or more, below 1"),
    "validate_every": COUNT,
    "keep": one_of(KEEPS),
    "parameters": one_of(PARAMETERS),
    "dtype": one_of(DTYPES),
    "save_every": COUNT,
    "seed": SEED,
}


def check_train_settings(settings: TrainSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check(settings, _RULES)
    check_lora(settings.lora)
    check_training_settings(settings.training, "training.")
    check_mix(settings.mix, [1] * len(settings.data))
    check_device_options(settings.devices)
    if settings.parameters == "full":
        _refuse_adapter(settings)
    _check_validation(settings)


def _refuse_adapter(settings: TrainSettings) -> None:
    given = {f"lora.{key}": value for key, value in vars(settings.lora).items()}
    for name, value in {"adapter": settings.adapter, **given}.items():
        if value is not None:
            raise InputError(
                f"belongs to an adapter, but {setting('parameters')} full trains all "
                "weights; leave one of them out.",
                field=name,
            )


def _check_validation(settings: TrainSettings) -> None:
    share = settings.validation_share
    if share and settings.validation:
        raise InputError(
            f"{setting('validation')} and {setting('validation_share')}: give one of "
            "them."
        )
    if settings.validate_every is not None and not share and not settings.validation:
        raise InputError(
            f"needs {setting('validation')} or {setting('validation_share')}.",
            field="validate_every",
        )
