"""`ntkjax plan`: from settings to a plan, and to the change that makes it fit."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ntkjax.checkpoints.families.table import read_config
from ntkjax.checkpoints.loading import locate_model, stored_dtype
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.plan.changes import Change, smallest_change
from ntkjax.commands.plan.costs.hardware import Hardware, named_hardware
from ntkjax.commands.plan.costs.model_cost import BYTES, ModelCost
from ntkjax.commands.plan.costs.roofline import Host
from ntkjax.commands.plan.measure import measured_rates, require_here
from ntkjax.commands.plan.mesh import asked_mesh
from ntkjax.commands.plan.plan import Plan, make_plan
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.settings import PlanSettings, check_plan_settings
from ntkjax.commands.plan.workload import (
    Workload,
    has_tokenizer,
    read_workload,
)
from ntkjax.commands.select.settings import with_defaults
from ntkjax.data.pool import MOST_SAMPLED, open_pool
from ntkjax.runs.model import resolve_lora
from ntkjax.selection.methods.table import named_method
from ntkjax.settings.template import template_options


@dataclass(frozen=True, kw_only=True)
class PlanResult:
    """A plan, and what makes it fit; `--json` writes it down.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        fits: Whether each device has the bytes.
        seconds: All stages together.
        bytes_per_device: On each device at most.
        hardware: Where.
        workload: What there is to compute with.
        plan: What it costs.
        change: Where it does not fit: what makes it fit, if anything does.
    """

    schema: int = 1
    fits: bool
    seconds: float
    bytes_per_device: float
    hardware: Hardware
    workload: Workload
    plan: Plan
    change: Change | None


def run_plan(settings: PlanSettings) -> PlanResult:
    """Plans a selection.

    Raises:
        InputError: For anything in flags, files or the model's config that cannot be.
    """
    check_plan_settings(settings)
    hardware = named_hardware(settings.hardware)
    asked_mesh(settings.devices.mesh, hardware)
    if settings.measure:
        require_here(hardware)
    folder = locate_model(settings.model, weights=settings.measure).folder
    selection = read_selection(with_defaults(settings), folder)
    rates, host = None, Host()
    if settings.measure:
        rates = measured_rates(selection, folder)
        host = _measured_host(selection, folder, host)
    plan = make_plan(selection, hardware, rates, host)
    change = None if plan.fits else smallest_change(selection, hardware)
    return PlanResult(
        fits=plan.fits,
        seconds=plan.seconds,
        bytes_per_device=plan.needs,
        hardware=hardware,
        workload=selection.workload,
        plan=plan,
        change=change,
    )


def read_selection(settings: PlanSettings, folder: Path) -> Selection:
    """What is selected: the model's sizes, and those of the files.

    Raises:
        InputError: If a file or the method cannot be used; `select` says the same.
    """
    is_lora = settings.parameters == "lora"
    lora = resolve_lora(settings.lora, settings.adapter) if is_lora else None
    cost = ModelCost(read_config(folder).decoder, lora, _dtype(settings, folder))
    vocab_size = cost.config.vocab_size
    if has_tokenizer(folder):
        encode = text_encoder(folder, settings.max_length, template_options(settings))
        vocab_size = encode.vocab_size
    workload = read_workload(settings, folder)
    selection = Selection(settings, cost, workload, vocab_size)
    named_method(settings.method).check(selection.outline)
    return selection


def _dtype(settings: PlanSettings, folder: Path) -> str:
    """The type of weights; `stored` without weights is what the config says."""
    if settings.dtype != "stored":
        return settings.dtype
    if any(folder.glob("*.safetensors")):
        return stored_dtype(folder).name
    raw = json.loads((folder / "config.json").read_bytes())
    found = raw.get("torch_dtype", raw.get("dtype"))
    return found if found in BYTES else "float32"


def _measured_host(selection: Selection, folder: Path, host: Host) -> Host:
    """How fast this machine reads and tokenizes, where there are texts to read."""
    settings = selection.settings
    if not settings.pool or not has_tokenizer(folder):
        return host
    started = time.perf_counter()
    pool = open_pool(settings.pool)
    row_seconds = (time.perf_counter() - started) / len(pool)
    encode = text_encoder(folder, settings.max_length, template_options(settings))
    examples = pool.read(np.arange(min(MOST_SAMPLED, len(pool))))
    encode(examples[:1])
    started = time.perf_counter()
    tokens = sum(len(example.tokens) for example in encode(examples))
    rate = tokens / (time.perf_counter() - started)
    return replace(host, row_seconds=row_seconds, tokens_rate=rate)
