"""Settings of `ntkjax plan`: those of `ntkjax select`, and a machine."""

from dataclasses import dataclass
from pathlib import Path

from ntkjax.commands.select.settings import SelectSettings, check_selection
from ntkjax.errors import InputError, setting
from ntkjax.rules import COUNT, check


@dataclass(frozen=True, kw_only=True)
class PlanSettings(SelectSettings):
    """What will a selection cost? The flags of `select`, and a machine.

    Attributes:
        target: The domain's examples; or give --num-target.
        pool: The candidates; or give --num-pool.
        out: Run directory of the selection. Nothing is written to it.
        num_target: Domain examples, in place of --target; with it, only the first.
        hardware: v5e-16, v5p-128, v6e-64, h100x8, h200x8, ... or cpu: this machine.
        measure: Run some batches of every stage here, and plan with their rates.
        num_pool: Candidates, in place of --pool.
        tokens_per_example: Length of every example, in place of the files' own.
        json: File for the numbers.
    """

    target: tuple[Path, ...] = ()
    pool: tuple[Path, ...] = ()
    out: Path = Path("run")
    hardware: str = "cpu"
    measure: bool = False
    num_pool: int | None = None
    tokens_per_example: int | None = None
    json: Path | None = None


_RULES = {"num_pool": COUNT, "tokens_per_example": COUNT}


def check_plan_settings(settings: PlanSettings) -> None:
    """Raises `InputError` for a value that no plan can have."""
    check(settings, _RULES)
    if bool(settings.pool) == (settings.num_pool is not None):
        raise InputError(
            f"{setting('pool')} or {setting('num_pool')}: give one of them, files or "
            "the number of candidates."
        )
    if not settings.target and settings.num_target is None:
        raise InputError(
            f"{setting('target')} or {setting('num_target')}: give files, or the "
            "number of domain examples."
        )
    check_selection(settings)
    _require_at_most(settings, "tokens_per_example", "max_length")
    _require_at_most(settings, "budget", "num_pool")


def _require_at_most(settings: PlanSettings, name: str, limit: str) -> None:
    value, most = getattr(settings, name), getattr(settings, limit)
    if value is not None and most is not None and value > most:
        raise InputError(
            f"expected at most {setting(limit)} {most}.", field=name, value=value
        )
