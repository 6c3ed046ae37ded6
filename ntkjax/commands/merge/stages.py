"""The stages of several runs, brought together in one folder.

    STAGES/PASS-HASH/shard-*    each from the first folder that has it whole
    STAGES/warmup-HASH/         from the first folder; all must have the same bits

What is there and whole is left as it is, and everything appears in one step: a merge
that was killed is run again.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from ntkjax.errors import InputError, setting
from ntkjax.runs.progress import progress
from ntkjax.store.atomic import full_disk_named, write_bytes
from ntkjax.store.folders import new_folder
from ntkjax.store.records import read_record
from ntkjax.store.seals import SEAL, damage, sealed_files
from ntkjax.store.shards import whole_content


_STAGE = re.compile(r"[^.].*-[0-9a-f]{16}")
_WARM_UP = re.compile(r"warmup-[0-9a-f]{16}")


@dataclass(frozen=True)
class Merged:
    """What a merge found.

    Attributes:
        num_shards: Shards that are there now.
        damaged: Records of shards, and warm-ups, that were left out.
    """

    num_shards: int
    damaged: tuple[Path, ...]


def merge_stages(folders: list[Path], target: Path) -> Merged:
    """Copies what several stages folders have into one.

    Args:
        folders: Theirs. The target may be among them.
        target: The one to fill; it may hold stages already.

    Raises:
        InputError: If two of them hold the same shard or warm-up with different
            content, before anything is copied; or if the disk is full.
    """
    everywhere = [target, *(f for f in folders if not _is_same(f, target))]
    stages = sorted({s.name for f in everywhere for s in _stages_in(f)})
    warm_ups = [name for name in stages if _WARM_UP.fullmatch(name)]
    records = sorted(
        {
            record.relative_to(folder)
            for folder in everywhere
            for stage in _stages_in(folder)
            if stage.name not in warm_ups
            for record in stage.glob("shard-*.json")
        }
    )
    for name in warm_ups:
        _require_one_warm_up([folder / name for folder in everywhere])
    for record in records:
        _require_one_content([folder / record for folder in everywhere])
    damaged: list[Path] = []
    for name in warm_ups:
        _copy_first([f / name for f in everywhere], _copy_warm_up, damaged)
    num_shards = 0
    with progress("merge", len(records), "shards") as advance:
        for record in records:
            copies = [folder / record for folder in everywhere]
            num_shards += _copy_first(copies, _copy_shard, damaged)
            advance(1)
    return Merged(num_shards, tuple(damaged))


def _copy_first(
    copies: list[Path], copy: Callable[[Path, Path], bool], damaged: list[Path]
) -> bool:
    """Takes the first whole one to the place of the first; notes damaged ones.

    Returns:
        Whether there was a whole one.
    """
    target = copies[0]
    for source in copies:
        if source.exists():
            if copy(source, target):
                return True
            damaged.append(source)
    return False


def _copy_shard(source: Path, target: Path) -> bool:
    """Copies a shard unless it is damaged; whether it was whole."""
    record = read_record(source)
    content = None if record is None else whole_content(source, record)
    if content is None:
        return False
    if source != target:
        with full_disk_named(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target.with_suffix(".safetensors"), content)
        write_bytes(target, source.read_bytes())
    return True


def _copy_warm_up(source: Path, target: Path) -> bool:
    """Copies a warm-up unless it is damaged; whether it was whole."""
    if damage(source) is not None:
        return False
    if source != target:
        with new_folder(target, last=SEAL) as beside:  # instead of a damaged one
            for name in [*sealed_files(source), SEAL]:
                shutil.copyfile(source / name, beside / name)
    return True


def _require_one_warm_up(copies: list[Path]) -> None:
    there = [copy for copy in copies if copy.exists() and damage(copy) is None]
    files = [sealed_files(copy) for copy in there]
    for (first, a), (second, b) in combinations(zip(there, files, strict=True), 2):
        if a != b:
            raise InputError(
                f"{first} and {second}: the warm-ups of these jobs ended at different "
                "weights, so that their shards do not go together; begin again with "
                f"one {setting('stages')} for all jobs, or warm up once and give "
                f"{setting('adapter')} and {setting('warmup')} none to all of them."
            )


def _require_one_content(copies: list[Path]) -> None:
    """Of whole shards; their contents are read only where records differ."""
    records = {copy: read_record(copy) for copy in copies}
    found = {copy: record for copy, record in records.items() if record is not None}
    if len({record["sha256"] for record in found.values()}) < 2:
        return
    whole = [copy for copy, record in found.items() if whole_content(copy, record)]
    for first, second in combinations(whole, 2):
        if found[first]["sha256"] != found[second]["sha256"]:
            raise InputError(
                f"{first} and {second}: the same shard with different content, as "
                "machines that are not alike may write it; delete one of the two."
            )


def _stages_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if p.is_dir() and _STAGE.fullmatch(p.name)]


def _is_same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
