"""Settings of `ntkjax train`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.errors import InputError, setting
from ntkjax.runs.model import PARAMETERS, LoraOptions, check_dtype
from ntkjax.settings.devices import (
    DeviceOptions,
    Devices,
    check_device_options,
)
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.settings.template import check_template
from ntkjax.store.bucket import require_reachable
from ntkjax.training.order import check_mix
from ntkjax.training.settings import TrainingSettings, check_training_settings


KEEPS = ("best", "last")


@dataclass(frozen=True)
class TrainSettings:
    """Fine-tune a LoRA adapter, or a whole small model, on one or more files.

    Attributes:
        model: Hugging Face folder, or hub id as owner/name or owner/name@revision.
        data: JSON lines or Parquet, one file or more.
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


def check_train_settings(settings: TrainSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check_template(settings)
    check_device_options(settings.devices)
    require_reachable(settings.out, "out")
    check_training_settings(settings.training, "training.")
    check_mix(settings.mix, [1] * len(settings.data))
    if settings.keep not in KEEPS:
        raise InputError(
            f"expected {' or '.join(KEEPS)}.", field="keep", value=settings.keep
        )
    check_dtype(settings.dtype)
    _check_parameters(settings)
    _check_validation(settings)
    if settings.save_every < 1:
        raise InputError(
            "expected at least 1.", field="save_every", value=settings.save_every
        )
    if not 0 <= settings.seed < 2**32:
        raise InputError("expected 0 to 2**32 - 1.", field="seed", value=settings.seed)


def _check_parameters(settings: TrainSettings) -> None:
    chosen = settings.parameters
    if chosen not in PARAMETERS:
        raise InputError(
            f"expected {' or '.join(PARAMETERS)}.", field="parameters", value=chosen
        )
    if chosen == "lora":
        return
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
    if not 0 <= share < 1:
        raise InputError(
            "expected 0 or more, below 1.", field="validation_share", value=share
        )
    if share and settings.validation:
        raise InputError(
            f"{setting('validation')} and {setting('validation_share')}: give one of "
            "them."
        )
    if settings.validate_every is not None:
        if settings.validate_every < 1:
            raise InputError(
                "expected at least 1.",
                field="validate_every",
                value=settings.validate_every,
            )
        if not share and not settings.validation:
            raise InputError(
                f"needs {setting('validation')} or {setting('validation_share')}.",
                field="validate_every",
            )
