"""Settings of `ntkjax select`, and the checks that need no file."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

from ntkjax.data.batches import POOLINGS
from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.errors import InputError, setting
from ntkjax.models.lora import check_lora
from ntkjax.rules import COUNT, FILES, SEED, SHARE, check, one_of
from ntkjax.runs.model import DTYPES, PARAMETERS, LoraOptions
from ntkjax.selection.masks import is_asked_for
from ntkjax.selection.methods.table import METHODS, Method, named_method
from ntkjax.selection.options import (
    DsirOptions,
    DualsftOptions,
    FisherOptions,
    LessOptions,
    MaskOptions,
    MethodOptions,
    SketchOptions,
    check_method_options,
)
from ntkjax.selection.pickers.table import named_picker, parse_quotas, require
from ntkjax.selection.problem import Request
from ntkjax.settings.devices import (
    DeviceOptions,
    Devices,
    check_device_options,
)
from ntkjax.settings.idle_flags import refuse_idle
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.settings.template import TEXT_RULES
from ntkjax.store.shards import parse_part
from ntkjax.training.settings import TrainingSettings, check_training_settings


OF_METHOD = "auto"
"""What a setting is called that the method decides."""
WARMUPS = ("target", "pool", "none")
SHORTLISTS = ("vote", "none")
SHORTLIST_FACTOR = 4
"""M = 4 N: the shortlist has four candidates for each that is chosen."""


@dataclass(frozen=True)
class SelectSettings:
    """Which examples of a large pool help a small domain?

    Attributes:
        model: Hugging Face folder, hub id (owner/name or owner/name@revision), or
            `embedded`.
        target: The domain's examples, one file or more (formats: `ntkjax data --help`).
        pool: The candidates, the same way. They stay on disk.
        out: Run directory to write, local or gs://BUCKET/FOLDER.
        method: How candidates are scored; the list stands below.
        picker: How the chosen are taken from the scores; the list stands below. Auto
            is the method's.
        budget: Examples to choose.
        budget_tokens: Tokens to choose, in place of examples: the longest prefix of the
            ranking that fits.
        reverse: Choose the lowest scores, as a control.
        quotas: Shares of sources for the picker quota, each SOURCE=SHARE. Default:
            those of the pool.
        num_target: Take only the first so many domain examples.
        holdout: Evaluation files; chosen examples that repeat them are reported.
        validation: Files from which dualsft takes its validation gradient, in place of
            the target.
        validation_share: Without --validation: the share of the target that dualsft
            takes it from, drawn at random and left out of the warm-up.
        max_length: Longest example in tokens; longer ones are cut.
        template: How examples become text: plain (prompt, line feed, response), chat
            (the tokenizer's own template), or auto: chat for records with messages.
        train_on: Which answers of a chat are targets: all, or the last.
        template_date: What a chat template is told when it asks for today's date.
        warmup: Fine-tune first on the target, on a part of the pool, or not (none).
            Auto is the method's.
        warmup_share: Share of the pool for the warm-up on it, drawn at random.
        training: Of the warm-up.
        parameters: What gradients are taken of: lora (an adapter) or full (all
            weights).
        lora: The adapter, where --adapter gives none.
        adapter: Folder of a PEFT LoRA adapter to start from. Default: a fresh one.
        shortlist: Score the candidates that the domain's nearest-neighbor vote
            prefers (vote), or all of them (none). Auto is the method's.
        shortlist_size: M. Default: four times the budget. It is also how many of the
            highest scores the picker facility-location chooses from.
        neighbors: K, the candidates that each domain example votes for. Default: the
            budget.
        embedding: What an embedding averages: all tokens, the response's, the last
            one, or all tokens weighted by position (weighted).
        kernel: Of the method ntk, such as spectral_4; the list stands below.
        pooling: What the kernel's h̄ averages: as for embedding.
        length_normalize: Means over tokens in kernels, or sums.
        sketch: Short vectors in place of gradients.
        less: Of the method less.
        fisher: Of the method fisher, and of dualsft's curvature.
        dsir: Of the method dsir.
        dualsft: Of the method dualsft.
        mask: Of the method dualsft: the parameters that are worth training.
        tokens_per_batch: Tokens that each device computes side by side, or each group
            of devices that share the weights. Default: 512 on CPUs, 2,048 elsewhere.
        rows_per_shard: Candidates per file of results: what a kill loses at most.
        stages: Folder for what long passes find. Runs that share it compute what they
            have in common once: other methods, other budgets. Default: in --out.
        shard: Do part i of n of the long passes (i/n), as one of n jobs that share
            --out. Afterwards the command without it finishes the run. Jobs that share
            no disk have an --out each; `ntkjax merge` joins them.
        seed: Decides a fresh adapter, the warm-up's order, probes and all draws.
        dtype: Type of frozen weights and activations: float32, bfloat16, float16, or
            stored (that of the files).
        devices: How the devices share the work.
    """

    model: str
    target: tuple[Path, ...]
    pool: tuple[Path, ...]
    out: RunPathFlag
    method: str = "ntk"
    picker: str = OF_METHOD
    budget: int | None = None
    budget_tokens: int | None = None
    reverse: bool = False
    quotas: tuple[str, ...] = ()
    num_target: int | None = None
    holdout: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()
    validation_share: float = 1.0
    max_length: int = 256
    template: str = "auto"
    train_on: str = "all"
    template_date: str = DEFAULT_TEMPLATE.date
    warmup: str = OF_METHOD
    warmup_share: float = 0.05
    training: TrainingSettings = field(default_factory=TrainingSettings)
    parameters: str = "lora"
    lora: LoraOptions = field(default_factory=LoraOptions)
    adapter: Path | None = None
    shortlist: str = OF_METHOD
    shortlist_size: int | None = None
    neighbors: int | None = None
    embedding: str = "all"
    kernel: str = "summed"
    pooling: str = "all"
    length_normalize: bool = True
    sketch: SketchOptions = field(default_factory=SketchOptions)
    less: LessOptions = field(default_factory=LessOptions)
    fisher: FisherOptions = field(default_factory=FisherOptions)
    dsir: DsirOptions = field(default_factory=DsirOptions)
    dualsft: DualsftOptions = field(default_factory=DualsftOptions)
    mask: MaskOptions = field(default_factory=MaskOptions)
    tokens_per_batch: int | None = None
    rows_per_shard: int = 1024
    stages: RunPathFlag | None = None
    shard: str | None = None
    seed: int = 0
    dtype: str = "float32"
    devices: Devices = field(default_factory=DeviceOptions)


Settings = TypeVar("Settings", bound=SelectSettings)


def with_defaults(settings: Settings) -> Settings:
    """The settings with what depends on the method filled in.

    Raises:
        InputError: If there is no such method.
    """
    method = named_method(settings.method)
    names = ("picker", "warmup", "shortlist")
    left = [name for name in names if getattr(settings, name) == OF_METHOD]
    return replace(settings, **{name: getattr(method, name) for name in left})


def method_options(settings: SelectSettings) -> MethodOptions:
    """The settings that methods know of.

    A copy, field by field: a command has its flags side by side, in an order of its own
    (the model first), and methods know no command.
    """
    names = [field.name for field in fields(MethodOptions)]
    return MethodOptions(**{name: getattr(settings, name) for name in names})


_RULES = {
    **TEXT_RULES,
    **dict.fromkeys(("budget", "budget_tokens", "num_target"), COUNT),
    **dict.fromkeys(("shortlist_size", "neighbors"), COUNT),
    **dict.fromkeys(("tokens_per_batch", "rows_per_shard"), COUNT),
    **dict.fromkeys(("warmup_share", "validation_share"), SHARE),
    **dict.fromkeys(("embedding", "pooling"), one_of(POOLINGS)),
    "warmup": one_of(WARMUPS),
    "shortlist": one_of(SHORTLISTS),
    "parameters": one_of(PARAMETERS),
    "dtype": one_of(DTYPES),
    "seed": SEED,
}


def check_select_settings(settings: SelectSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check(settings, {"target": FILES, "pool": FILES})
    check_selection(settings)


def check_selection(settings: SelectSettings) -> None:
    """The same for a selection without files: of what is to be planned."""
    settings = with_defaults(settings)
    check(settings, _RULES)
    check_lora(settings.lora)
    check_training_settings(settings.training, "training.")
    check_method_options(method_options(settings))
    check_device_options(settings.devices)
    if settings.shard is not None:
        parse_part(settings.shard)
    _check_budget(settings)
    method = named_method(settings.method)
    _check_picker(settings, method)
    _check_idle(settings)
    if settings.num_target is not None:
        num_aim(settings, settings.num_target)
    is_lora, has_moments = settings.parameters == "lora", settings.warmup != "none"
    method.refuse(Request(method_options(settings), is_lora, has_moments))


def num_aim(settings: SelectSettings, num_target: int) -> int:
    """How many target examples the method looks at; the rest is left for a warm-up.

    With `--validation` none of them counts as left.

    Raises:
        InputError: If the share of a method that validates leaves nothing to one side.
    """
    if not named_method(settings.method).validates or settings.validation:
        return num_target
    share = settings.validation_share
    number = round(share * num_target)
    if number == 0 or (number == num_target and settings.warmup == "target"):
        left = "no example to take the validation gradient from"
        left = left if number == 0 else "no example for the warm-up on the target"
        raise InputError(
            f"leaves {left} out of {num_target}; choose another share, or give "
            f"{setting('validation')}.",
            field="validation_share",
            value=share,
        )
    return number


def _check_budget(settings: SelectSettings) -> None:
    size, budget = settings.shortlist_size, settings.budget
    if (budget is None) == (settings.budget_tokens is None):
        raise InputError(
            f"{setting('budget')} or {setting('budget_tokens')}: give one of them, the "
            "number of examples or of tokens to choose."
        )
    if size is not None and budget is not None and size < budget:
        raise InputError(
            f"expected at least {setting('budget')} {budget}.",
            field="shortlist_size",
            value=size,
        )


def _check_picker(settings: SelectSettings, method: Method) -> None:
    picker = named_picker(settings.picker)
    parse_quotas(settings.quotas)
    if settings.reverse and picker.name not in ("top", "quota"):
        raise InputError(
            f"the picker {picker.name} has no reverse; use {setting('picker')} top or "
            "quota.",
            field="reverse",
        )
    having = [m.name for m in METHODS.values() if picker.needs in m.gives]
    require(picker, method.gives, method.name, having)


_FLAGS = {
    flag: {"method": tuple(m.name for m in METHODS.values() if flag in m.flags)}
    for method in METHODS.values()
    for flag in method.flags
}
_COUNTS_WITH = {
    **_FLAGS,
    "embedding": {**_FLAGS["embedding"], "shortlist": ("vote",)},
    "neighbors": {**_FLAGS["neighbors"], "shortlist": ("vote",)},
    "shortlist_size": {"picker": ("facility-location",), "shortlist": ("vote",)},
    "quotas": {"picker": ("quota",)},
    "warmup_share": {"warmup": ("pool",)},
    "training": {"warmup": ("target", "pool")},
    "lora": {"parameters": ("lora",)},
    "adapter": {"parameters": ("lora",)},
}
"""Flags and groups, and the settings with which they count; see `refuse_idle`."""


def _check_idle(settings: SelectSettings) -> None:
    refuse_idle(settings, _COUNTS_WITH)
    if settings.mask != MaskOptions() and not is_asked_for(settings.mask):
        raise InputError(
            f"{setting('mask.share')} or {setting('mask.budget')}: give one of them, "
            "or nothing about a mask."
        )
    if settings.validation and settings.validation_share != 1:
        raise InputError(
            f"{setting('validation_share')} says nothing with {setting('validation')}."
        )
