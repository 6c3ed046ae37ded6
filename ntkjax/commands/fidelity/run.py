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
from ntkjax.errors import InputError
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
from ntkjax.models.coverage import Coverage, coverage
from ntkjax.models.lora import LoraSettings
from ntkjax.reports.fidelity.page import write_fidelity_page
from ntkjax.runs import environment
from ntkjax.runs.model import (
    Prepared,
    count,
    prepare,
    resolve_lora,
    tokenize_files,
)
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import Clock, progress
from ntkjax.runs.shared_run import (
    hash_inputs,
    is_finished,
    open_shared_run,
    result_of_first,
)
from ntkjax.settings.template import template_options
from ntkjax.store.atomic import write_atomically, write_json, write_tensors
from ntkjax.store.results import read_result, write_result
from ntkjax.store.run_directory import (
    add_to_manifest,
    plain_values,
)
from ntkjax.store.run_path import RunPath


RESULT = "fidelity.json"
_RESAMPLES = 400


@dataclass(frozen=True)
class FidelityRun:
    """What a run found.

    Attributes:
        result: What was measured.
        coverage: Which matrices carry θ.
        reused: Whether a finished run of the same settings was found.
    """

    result: FidelityResult
    coverage: list[Coverage]
    reused: bool


def run_fidelity(settings: FidelitySettings) -> FidelityRun:
    """Measures, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
    """
    clock = Clock()
    check_fidelity_settings(settings)
    found_model = pinned_model(settings.model, settings.out)
    folder = found_model.folder
    lora = resolve_lora(settings.lora, settings.adapter)
    texts, vocab_size = _read(settings, folder)
    clock.lap("read texts")
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
    clock.lap("load model")
    out = _open(settings, lora, found_model, prepared)
    table = coverage(prepared.model)
    if is_finished(out / RESULT):
        result = read_result(out / RESULT, FidelityResult)
        return FidelityRun(result, table, reused=True)

    found = _measure(settings, prepared, readout, kernels, texts, clock)
    if not processes.is_first():
        result = result_of_first(out / RESULT, FidelityResult)
        return FidelityRun(result, table, reused=False)
    result = _result(settings, prepared, readout, texts, found, clock)
    arrays = {name: kernel.values for name, kernel in found.kernels.items()}
    if found.second is not None:
        arrays["exact@compare_adapter"] = found.second.values
    write_tensors(out / "kernels.safetensors", arrays)
    write_adapter(out / "adapter", prepared.theta, prepared.model, found_model.id)
    write_json(out / "examples.json", _examples(texts, settings.pooling))
    add_to_manifest(out, {"command": "fidelity", **_facts(result)})
    page = lambda path: write_fidelity_page(result, arrays, path)
    write_atomically(out / "report.html", page)
    write_result(out / RESULT, result)  # last: it marks the run as finished
    return FidelityRun(result, table, reused=False)


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
    clock: Clock,
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
            raise InputError(_whose(error, texts)) from error

    sketches = _sketches(settings, count(prepared.theta))
    found = values("kernels", prepared.theta, kernels, sketches)
    clock.lap("kernels")
    probes = chosen_tokens(readout, _sample_tokens(settings, readout)).probes
    blocks = output_blocks(base, prepared.theta, queries, probes, mesh=mesh)
    clock.lap("cosines")
    second = None
    if prepared.second is not None:
        second = values("second adapter", prepared.second, kernels[:1], {})["exact"]
        clock.lap("second adapter")
    return _Found(found, blocks, second)


def _left_out(settings: FidelitySettings, readout: Readout) -> list[str]:
    """Default kernels that this readout rules out."""
    if settings.kernels != DEFAULT_KERNELS:
        return []
    return [name for name in DEFAULT_KERNELS if name not in possible_kernels(readout)]


def _whose(error: NonFiniteKernel, texts: dict[str, list[TokenizedExample]]) -> str:
    query = texts["queries"][error.query].id
    other = "itself"
    if error.candidate is not None:
        other = f"candidate {texts['candidates'][error.candidate].id!r}"
    return (
        f"the kernel of query {query!r} with {other} is NaN or infinite: the model "
        "overflows on this text; try --dtype float32, or look at the adapter's scale."
    )


def _result(
    settings: FidelitySettings,
    prepared: Prepared,
    readout: Readout,
    texts: dict[str, list[TokenizedExample]],
    found: _Found,
    clock: Clock,
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
    clock.lap("statistics")
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
        seconds=clock.laps,
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
        flag = f"--num-{what}"
        chosen[what] = choose(examples, number, seed, settings.shuffle, flag)
    return tokenize_files(
        folder, chosen, settings.max_length, template_options(settings)
    )


def _kernels(settings: FidelitySettings, readout: Readout) -> list[ProbeKernel]:
    """The exact kernel and the approximate ones.

    Without --kernels, those that the readout rules out are left out; asked for by name,
    they are refused.
    """
    names: Sequence[str] = settings.kernels
    if settings.kernels == DEFAULT_KERNELS:
        names = possible_kernels(readout)
    kernels = []
    for name in dict.fromkeys(("exact", *names)):
        try:
            kernels.append(named_kernel(name, readout, stream(settings.seed, "probes")))
        except InputError as error:
            why = str(error).removeprefix("--kernels: ")
            raise InputError(f"--kernels {name}: {why}") from error
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


def _open(
    settings: FidelitySettings,
    lora: LoraSettings,
    found: FoundModel,
    prepared: Prepared,
) -> RunPath:
    """The run directory, claimed for these settings and these inputs."""
    files = {
        "model": model_files(found.folder),
        "queries": list(settings.queries),
        "candidates": list(settings.candidates),
    }
    for name in ("adapter", "compare_adapter"):
        adapter = getattr(settings, name)
        if adapter is not None:
            files[name] = adapter_files(adapter)
    hashes = hash_inputs(files)
    resolved = plain_values(settings, without=("out", "devices")) | {
        "lora": plain_values(lora)
    }
    facts = model_facts(found, prepared.model)
    return open_shared_run(settings.out, resolved, hashes, facts)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
