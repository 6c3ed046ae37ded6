"""`ntkjax fidelity`: exact against approximate kernels, measured and written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from ntkjax.checkpoints.adapter import adapter_files, write_adapter
from ntkjax.checkpoints.loading import FoundModel, model_files
from ntkjax.commands.fidelity.settings import (
    FidelitySettings,
    check_fidelity_settings,
    parse_sketch,
)
from ntkjax.data.batches import make_batch, pooling_weights
from ntkjax.data.examples import choose, read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices import processes
from ntkjax.errors import InputError, setting
from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.fidelity.cosines import output_cosines
from ntkjax.fidelity.measure import NonFiniteKernel, output_blocks
from ntkjax.fidelity.result import FidelityResult, NumCut
from ntkjax.fidelity.study import KernelValues, against, kernel_values
from ntkjax.kernels.exact import chosen_tokens
from ntkjax.kernels.probe_kernel import ProbeKernel, shared_channels
from ntkjax.kernels.readout import Readout, read_readout, readout_function
from ntkjax.kernels.table import DEFAULT_KERNELS, named_kernel, possible_kernels
from ntkjax.math.bootstrap import bootstrap_rows
from ntkjax.math.ranking import chance_overlap
from ntkjax.math.seeds import stream
from ntkjax.math.sketches import SKETCHES, Sketch
from ntkjax.models.coverage import coverage
from ntkjax.models.lora import LoraSettings
from ntkjax.reports.fidelity.page import write_fidelity_page
from ntkjax.runs import environment
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.model import Prepared, count, prepare, resolve_lora, tokenize_files
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import progress
from ntkjax.runs.run import METRICS, MODEL, Outcome, Run, identify
from ntkjax.settings.template import template_options
from ntkjax.store.atomic import write_atomically, write_json, write_tensors
from ntkjax.store.bucket import require_reachable
from ntkjax.store.run_directory import plain_values


RESULT = "fidelity.json"
KERNELS, EXAMPLES = "kernels.safetensors", "examples.json"

NOT_DECIDING = ("out", "devices")
"""Settings that decide no number, and are no part of what a run is."""

_RESAMPLES = 400


def run_fidelity(settings: FidelitySettings) -> Outcome[FidelityResult]:
    """Measures, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
    """
    ledger = Ledger()
    check_fidelity_settings(settings)
    require_reachable(settings.out, "out")
    found_model = pinned_model(settings.model, settings.out)
    folder = found_model.folder
    lora = resolve_lora(settings.lora, settings.adapter)
    run = _identify(settings, lora, found_model)
    before = run.finished()
    if before is not None:
        return before
    texts, vocab_size = _read(settings, folder)
    ledger.book("read texts")
    prepared = prepare(
        folder,
        lora,
        settings.adapter,
        compare_adapter=settings.compare_adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
    )
    readout = read_readout(prepared.model, vocab_size)
    kernels = _kernels(settings, readout)
    ledger.book("load model")
    facts = model_facts(found_model, prepared.model)
    with run.claimed(ledger, facts, relief={"": "max_length"}):
        found = _measure(settings, prepared, readout, kernels, texts, ledger)
        if not processes.is_first():
            return run.of_first()
        result = _result(settings, prepared, readout, texts, found, ledger)
        out = settings.out
        arrays = {name: kernel.values for name, kernel in found.kernels.items()}
        if found.second is not None:
            arrays["exact@compare_adapter"] = found.second.values
        write_tensors(out / KERNELS, arrays)
        write_adapter(out / "adapter", prepared.theta, prepared.model, found_model.id)
        write_json(out / EXAMPLES, _examples(texts, settings.pooling))
        page = lambda path: write_fidelity_page(result, arrays, path)
        write_atomically(out / "report.html", page)
        outputs = [KERNELS, "adapter", EXAMPLES, "report.html", METRICS]
        return run.finish(result, outputs, _facts(result))


@dataclass(frozen=True, eq=False)
class _Found:
    """Kernels by name, cosine blocks [n, c, c], the exact kernel at adapter B."""

    kernels: dict[str, KernelValues]
    blocks: np.ndarray
    second: KernelValues | None


def _measure(
    settings: FidelitySettings,
    prepared: Prepared,
    readout: Readout,
    kernels: list[ProbeKernel],
    texts: dict[str, list[TokenizedExample]],
    ledger: Ledger,
) -> _Found:
    mesh = prepared.mesh
    base = readout_function(prepared.model, readout)
    queries = make_batch(texts["queries"], settings.pooling)
    sides = queries, make_batch(texts["candidates"], settings.pooling)

    def values(what: str, theta, kernels: list[ProbeKernel], sketches: dict):
        total = shared_channels(kernels)[0].shape[1]
        try:
            with progress(what, total, "channels") as advance:
                return kernel_values(
                    base, theta, *sides, kernels, sketches, mesh=mesh, advance=advance
                )
        except NonFiniteKernel as error:
            raise _overflow(error, texts) from error

    sketches = _sketches(settings, count(prepared.theta))
    found = values("kernels", prepared.theta, kernels, sketches)
    ledger.book("kernels")
    probes = chosen_tokens(readout, _sample_tokens(settings, readout)).probes
    blocks = output_blocks(base, prepared.theta, queries, probes, mesh=mesh)
    ledger.book("cosines")
    second = None
    if prepared.second is not None:
        second = values("second adapter", prepared.second, kernels[:1], {})["exact"]
        ledger.book("second adapter")
    return _Found(found, blocks, second)


def _left_out(settings: FidelitySettings, readout: Readout) -> list[str]:
    """Default kernels that this readout rules out."""
    if settings.kernels != DEFAULT_KERNELS:
        return []
    return [name for name in DEFAULT_KERNELS if name not in possible_kernels(readout)]


def _overflow(
    error: NonFiniteKernel, texts: dict[str, list[TokenizedExample]]
) -> InputError:
    query = texts["queries"][error.query].id
    other = "itself"
    if error.candidate is not None:
        other = f"candidate {texts['candidates'][error.candidate].id!r}"
    return InputError(
        f"the kernel of query {query!r} with {other} is NaN or infinite: the model "
        f"overflows on this text; try {setting('dtype')} float32, or look at the "
        "adapter's scale."
    )


def _result(
    settings: FidelitySettings,
    prepared: Prepared,
    readout: Readout,
    texts: dict[str, list[TokenizedExample]],
    found: _Found,
    ledger: Ledger,
) -> FidelityResult:
    resamples = bootstrap_rows(
        settings.num_queries, _RESAMPLES, stream(settings.seed, "resamples")
    )
    exact = found.kernels["exact"]
    if not exact.values.any() or not exact.diagonal.any():
        raise InputError(
            "the exact kernel is zero everywhere: no gradient reaches θ (an adapter "
            "whose matrices A and B are all zero?)."
        )

    def row(name: str, other: KernelValues) -> KernelFidelity:
        return against(exact, other, name, resamples, settings.top)

    rows = {name: row(name, other) for name, other in found.kernels.items()}
    stability = None
    if found.second is not None:
        stability = row(f"exact at {settings.compare_adapter}", found.second)
    cosines = output_cosines(found.blocks, resamples)
    ledger.book("statistics")
    model = prepared.model.config
    cut = {what: sum(e.was_cut for e in examples) for what, examples in texts.items()}
    return FidelityResult(
        model=settings.model,
        adapter=_text(settings.adapter),
        compare_adapter=_text(settings.compare_adapter),
        queries=", ".join(map(str, settings.queries)),
        candidates=", ".join(map(str, settings.candidates)),
        num_queries=settings.num_queries,
        num_candidates=settings.num_candidates,
        num_cut=NumCut(**cut),
        max_length=settings.max_length,
        pooling=settings.pooling,
        seed=settings.seed,
        top=settings.top,
        chance_overlap=chance_overlap(settings.top, settings.num_candidates),
        num_parameters=count(prepared.theta),
        coverage=tuple(coverage(prepared.model)),
        vocab_size=readout.vocab_size,
        padded_rows=model.vocab_size - readout.vocab_size,
        hidden_size=model.hidden_size,
        readout="logits" if readout.obstacle else "hidden",
        readout_note=readout.obstacle,
        left_out=tuple(_left_out(settings, readout)),
        kernels=tuple(row for name, row in rows.items() if "·" not in name),
        sketches=tuple(row for name, row in rows.items() if "·" in name),
        cosines=cosines,
        stability=stability,
        seconds=ledger.seconds(),
        versions=environment.versions(),
        device=environment.device(),
        precision=environment.precision(),
    )


def _facts(result: FidelityResult) -> dict:
    """What a manifest says of a run beside its settings."""
    names = ("versions", "device", "precision", "seed", "readout", "readout_note")
    return {
        **{name: getattr(result, name) for name in names},
        "padded_head_rows_left_out": result.padded_rows,
        "cut_examples": vars(result.num_cut),
    }


def _read(
    settings: FidelitySettings, folder: Path
) -> tuple[dict[str, list[TokenizedExample]], int]:
    chosen = {}
    for what in ("queries", "candidates"):
        examples = read_examples(getattr(settings, what))
        number = getattr(settings, f"num_{what}")
        seed = stream(settings.seed, what)
        chosen[what] = choose(examples, number, seed, settings.shuffle, f"num_{what}")
    return tokenize_files(
        folder, chosen, settings.max_length, template_options(settings)
    )


def _kernels(settings: FidelitySettings, readout: Readout) -> list[ProbeKernel]:
    """The exact kernel and the approximate ones.

    By default those that the readout rules out are left out; asked for by name, they
    are refused.
    """
    names: Sequence[str] = settings.kernels
    if settings.kernels == DEFAULT_KERNELS:
        names = possible_kernels(readout)
    kernels = []
    for name in dict.fromkeys(("exact", *names)):
        try:
            kernels.append(named_kernel(name, readout, stream(settings.seed, "probes")))
        except InputError as error:
            raise InputError(error.message, field="kernels", value=name) from error
    return kernels


def _sketches(settings: FidelitySettings, num_parameters: int) -> dict[str, Sketch]:
    key = jax.random.key(settings.seed)
    sketches = {}
    for index, spec in enumerate(settings.sketches):
        kind, size = parse_sketch(spec)
        own_key = jax.random.fold_in(key, index)
        sketches[f"{kind}_{size}"] = SKETCHES[kind](num_parameters, size, own_key)
    return sketches


def _sample_tokens(settings: FidelitySettings, readout: Readout) -> np.ndarray:
    number = min(settings.cosine_tokens, readout.vocab_size)
    rng = np.random.default_rng(stream(settings.seed, "cosine tokens"))
    return np.sort(rng.choice(readout.vocab_size, number, replace=False))


def _examples(texts: dict[str, list[TokenizedExample]], pooling: str) -> dict:
    return {
        name: [
            {
                "id": example.id,
                "tokens": example.tokens.tolist(),
                "weights": pooling_weights(example.targets, pooling).tolist(),
            }
            for example in examples
        ]
        for name, examples in texts.items()
    }


def _identify(
    settings: FidelitySettings, lora: LoraSettings, found: FoundModel
) -> Run[FidelityResult]:
    files = {
        MODEL: model_files(found.folder),
        "queries": list(settings.queries),
        "candidates": list(settings.candidates),
    }
    for name in ("adapter", "compare_adapter"):
        adapter = getattr(settings, name)
        if adapter is not None:
            files[name] = adapter_files(adapter)
    resolved = plain_values(settings, without=NOT_DECIDING) | {
        "lora": plain_values(lora)
    }
    kind = FidelityResult
    return identify("fidelity", settings.out, RESULT, kind, resolved, files)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
