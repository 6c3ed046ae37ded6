"""What `ntkjax select` reads before it computes: files, checked, and their identity."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkjax.checkpoints.adapter import adapter_files
from ntkjax.checkpoints.loading import model_files
from ntkjax.checkpoints.text_encoder import TextEncoder, text_encoder
from ntkjax.commands.select.result import source_names
from ntkjax.commands.select.settings import SelectSettings, num_aim
from ntkjax.data.examples import Example, read_examples, text_of
from ntkjax.data.pool import Pool, open_pool
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from ntkjax.math.seeds import stream
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.run import MODEL, Run, identify
from ntkjax.selection.methods.table import named_method
from ntkjax.selection.pickers.quota import parse_quotas, require_known_sources
from ntkjax.selection.pickers.table import named_picker
from ntkjax.selection.result import SelectionResult
from ntkjax.settings.template import template_options
from ntkjax.store.run_directory import plain_values
from ntkjax.training.plan import require_targets


RESULT = "selection.json"

NOT_DECIDING = ("out", "shard", "stages", "devices")
"""Settings that decide no number, and are no part of what a run is."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Files, read and checked.

    Attributes:
        folder: The model's folder.
        encode: Examples to tokens.
        examples: The domain.
        aim: What the method looks at: the domain, or validation examples.
        warmup: What the warm-up trains on, tokenized; nothing without a warm-up.
        pool: The candidates, on disk.
        holdout: Evaluation examples; None where no file was given.
    """

    folder: Path
    encode: TextEncoder
    examples: list[Example]
    aim: list[Example]
    warmup: list[TokenizedExample]
    pool: Pool
    holdout: list[Example] | None


def read_inputs(settings: SelectSettings, folder: Path) -> Inputs:
    """Reads the domain and the holdout files, and checks every line of the pool.

    Raises:
        InputError: If a file cannot be used, or holds fewer examples than are asked
            for.
    """
    encode = text_encoder(folder, settings.max_length, template_options(settings))
    examples = _first(read_examples(settings.target), settings)
    aim, rest = _aim(settings, examples)
    _check_groups(settings, aim)
    is_disjoint = named_method(settings.method).is_disjoint
    overlap = _Overlap(aim if is_disjoint else [])
    pool = open_pool(settings.pool, overlap.look)
    if settings.budget is not None and settings.budget > len(pool):
        raise InputError(
            f"{_names(settings.pool)} has only {len(pool)} examples; choose fewer.",
            field="budget",
            value=settings.budget,
        )
    if settings.quotas:
        _check_quotas(settings, pool)
    overlap.refuse()
    warmup = _warmup_examples(settings, rest, pool)
    holdout = read_examples(settings.holdout) if settings.holdout else None
    tokenized = encode(warmup) if warmup else []
    require_targets(tokenized)
    return Inputs(folder, encode, examples, aim, tokenized, pool, holdout)


def identify_selection(
    settings: SelectSettings, lora: LoraSettings | None, folder: Path
) -> Run[SelectionResult]:
    """The run of these settings on these files.

    Args:
        settings: After `with_defaults`.
        lora: The adapter, resolved; None without one.
        folder: The model's.
    """
    files = {
        MODEL: model_files(folder),
        "target": list(settings.target),
        "pool": list(settings.pool),
    }
    for name in ("holdout", "validation"):
        if getattr(settings, name):
            files[name] = list(getattr(settings, name))
    if settings.adapter is not None:
        files["adapter"] = adapter_files(settings.adapter)
    resolved = plain_values(settings, without=NOT_DECIDING)
    resolved |= {"lora": lora and plain_values(lora)}
    job = (settings.shard or "1/1").replace("/", "-of-")
    kind = SelectionResult
    return identify("select", settings.out, RESULT, kind, resolved, files, job)


def _first(examples: list[Example], settings: SelectSettings) -> list[Example]:
    number = settings.num_target
    if number is None:
        return examples
    if number > len(examples):
        raise InputError(
            f"{_names(settings.target)} has only {len(examples)} examples.",
            field="num_target",
            value=number,
        )
    return examples[:number]


def _aim(
    settings: SelectSettings, examples: list[Example]
) -> tuple[list[Example], list[Example]]:
    """What the method looks at, and what is left of the domain for a warm-up."""
    if not named_method(settings.method).validates:
        return examples, examples
    if settings.validation:
        return read_examples(settings.validation), examples
    number = num_aim(settings, len(examples))
    rng = np.random.default_rng(stream(settings.seed, "validation"))
    chosen = np.zeros(len(examples), bool)
    chosen[rng.permutation(len(examples))[:number]] = True
    aim = [e for e, is_chosen in zip(examples, chosen, strict=True) if is_chosen]
    rest = [e for e, is_chosen in zip(examples, chosen, strict=True) if not is_chosen]
    return aim, rest


def _check_groups(settings: SelectSettings, aim: Sequence[Example]) -> None:
    """Where groups count they are named by every example, or by none if need be."""
    method, picker = named_method(settings.method), settings.picker
    needed = named_picker(picker).needs == "rankings" and not method.ranks_itself
    without = [example for example in aim if example.group is None]
    if not without or not (needed or method.uses_groups):
        return
    where = without[0].location
    if needed:
        raise InputError(
            f'{where} has no field "group" (a string or an integer); name the group of '
            "every target example, or use another picker.",
            field="picker",
            value=picker,
        )
    if len(without) < len(aim):
        raise InputError(
            f'{where}: field "group" is missing, but other target examples have it; '
            "name the group of every one, or of none."
        )


def _check_quotas(settings: SelectSettings, pool: Pool) -> None:
    """Refuses a quota of a source that the pool does not have."""
    sources = dict.fromkeys(source_names(pool, np.arange(len(pool))))
    require_known_sources(parse_quotas(settings.quotas), list(sources))


class _Overlap:
    """Finds a validation example whose text, but for white space, is in the pool."""

    def __init__(self, aim: Sequence[Example]):
        self._known = {_words(example): example for example in aim}
        self._first: tuple[Example, Example] | None = None

    def look(self, candidate: Example) -> None:
        """Notes the first candidate that is also a validation example."""
        if self._known and self._first is None:
            same = self._known.get(_words(candidate))
            self._first = same and (same, candidate)

    def refuse(self) -> None:
        """Raises `InputError` if there is one."""
        if self._first is not None:
            same, candidate = self._first
            raise InputError(
                f"{same.location}: the validation example {same.id!r} is also in the "
                f"pool ({candidate.location}); remove it from one of them."
            )


def _words(example: Example) -> tuple[str, ...]:
    return tuple(text_of(example).split())


def _warmup_examples(
    settings: SelectSettings, rest: list[Example], pool: Pool
) -> list[Example]:
    if settings.warmup == "target":
        return rest
    if settings.warmup == "none":
        return []
    number = max(1, round(settings.warmup_share * len(pool)))
    rng = np.random.default_rng(stream(settings.seed, "warm-up pool"))
    return pool.read(np.sort(rng.permutation(len(pool))[:number]))


def _names(paths: tuple[Path, ...]) -> str:
    return " + ".join(path.name for path in paths)
