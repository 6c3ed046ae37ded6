"""Settings of `ntkjax fidelity`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.batches import POOLINGS
from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.errors import InputError, setting
from ntkjax.kernels.table import DEFAULT_KERNELS, check_kernel
from ntkjax.math.sketches import SKETCHES
from ntkjax.models.lora import check_lora
from ntkjax.rules import COUNT, FILES, SEED, Rule, check, one_of
from ntkjax.runs.model import DTYPES, LoraOptions
from ntkjax.settings.devices import (
    DeviceOptions,
    Devices,
    check_device_options,
)
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.settings.template import TEXT_RULES


@dataclass(frozen=True)
class FidelitySettings:
    """How good is an approximate kernel on this model and these texts?

    Attributes:
        model: Hugging Face folder, or hub id as owner/name or owner/name@revision.
        queries: The domain's examples, one file or more (formats:
            `ntkjax data --help`).
        candidates: The same, of the examples that are ranked.
        out: Run directory to write, local or gs://BUCKET/FOLDER.
        num_queries: Queries to take.
        num_candidates: Candidates to take.
        max_length: Longest example in tokens; longer ones are cut.
        template: How examples become text: plain (prompt, line feed, response), chat
            (the tokenizer's own template), or auto: chat for records with messages.
        train_on: Which answers of a chat are targets: all, or the last.
        template_date: What a chat template is told when it asks for today's date.
        lora: The adapter, where --adapter gives none.
        adapter: Folder of a PEFT LoRA adapter. Default: a fresh one (B = 0).
        compare_adapter: Second adapter, of the same shape and scale, at which the exact
            kernel is computed too.
        pooling: What h̄ averages: all tokens, the response's tokens, or the last one.
        kernels: Approximate kernels, such as spectral_4 or centered_random_16; the
            list stands below.
        sketches: Sketches of the summed and the exact kernel, as kind:size
            (kinds: shift, rademacher).
        top: N of the top-N overlap.
        cosine_tokens: Vocabulary entries whose gradients are compared.
        seed: Decides shuffling, a fresh adapter, probes, sketches and resamples.
        shuffle: Take examples after a seeded shuffle, or in file order.
        dtype: Type of frozen weights and activations: float32, bfloat16, float16, or
            stored (that of the files).
        devices: How the devices share the work.
    """

    model: str
    queries: tuple[Path, ...]
    candidates: tuple[Path, ...]
    out: RunPathFlag
    num_queries: int = 12
    num_candidates: int = 80
    max_length: int = 96
    template: str = "auto"
    train_on: str = "all"
    template_date: str = DEFAULT_TEMPLATE.date
    lora: LoraOptions = field(default_factory=LoraOptions)
    adapter: Path | None = None
    compare_adapter: Path | None = None
    pooling: str = "all"
    kernels: tuple[str, ...] = DEFAULT_KERNELS
    sketches: tuple[str, ...] = ("shift:1024", "shift:8192")
    top: int = 10
    cosine_tokens: int = 64
    seed: int = 0
    shuffle: bool = True
    dtype: str = "float32"
    devices: Devices = field(default_factory=DeviceOptions)


_RULES = {
    **TEXT_RULES,
    "queries": FILES,
    "candidates": FILES,
    "num_queries": COUNT,
    "num_candidates": Rule(lambda value: value >= 3, "at least 3, for a ranking"),
    "pooling": one_of(POOLINGS),
    "cosine_tokens": Rule(lambda value: value >= 2, "at least 2, for cosines"),
    "dtype": one_of(DTYPES),
    "seed": SEED,
}


def check_fidelity_settings(settings: FidelitySettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check(settings, _RULES)
    check_lora(settings.lora)
    check_device_options(settings.devices)
    if not 1 <= settings.top <= settings.num_candidates:
        raise InputError(
            f"expected 1 to {setting('num_candidates')} ({settings.num_candidates}).",
            field="top",
            value=settings.top,
        )
    for name in settings.kernels:
        check_kernel(name, "kernels")
    parsed = [parse_sketch(spec) for spec in settings.sketches]
    for name, given in (("sketches", parsed), ("kernels", settings.kernels)):
        if len(set(given)) < len(given):
            raise InputError("a name is given twice.", field=name)


def parse_sketch(spec: str) -> tuple[str, int]:
    """Kind and size of a sketch written as `shift:8192`.

    Raises:
        InputError: If there is no such kind, or no positive size.
    """
    kind, _, size = spec.partition(":")
    if kind not in SKETCHES or not size.isdigit() or int(size) < 1:
        raise InputError(
            "expected kind:size such as shift:8192, with a kind out of "
            f"{', '.join(SKETCHES)}.",
            field="sketches",
            value=spec,
        )
    return kind, int(size)
