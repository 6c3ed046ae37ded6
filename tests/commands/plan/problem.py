"""Selections to plan: a tiny model, files that need not be there."""

from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.plan.workload import Lengths, Workload
from ntkjax.commands.select.settings import num_aim, with_defaults
from ntkjax.models.lora import LoraSettings
from ntkjax.settings.devices import DeviceOptions
from tests.problems import tiny_config


LORA = LoraSettings(rank=2)


def small_settings(**changes) -> PlanSettings:
    """Settings of a selection of 10 of 100 candidates for 5 examples."""
    given = {"model": "m", "num_pool": 100, "num_target": 5, "budget": 10}
    devices = DeviceOptions(changes.pop("mesh", "auto"))
    found = with_defaults(PlanSettings(**(given | changes), devices=devices))
    assert isinstance(found, PlanSettings)
    return found


def small_selection(
    config=None, lora: LoraSettings | None = LORA, tokens: int = 16, **changes
) -> Selection:
    """The same with the tiny model, or another; every example has so many tokens."""
    settings = small_settings(**changes)
    lengths = Lengths(((tokens, 1.0),), float(tokens))
    num_target = settings.num_target or 0
    aim = num_aim(settings, num_target)
    workload = Workload(settings.num_pool or 0, num_target, aim, *3 * [lengths])
    cost = ModelCost(config or tiny_config(num_layers=2), lora, settings.dtype)
    return Selection(settings, cost, workload, cost.config.vocab_size)
