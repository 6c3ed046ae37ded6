"""Every method and picker through whole runs, and what runs share."""

import json

import numpy as np
import pytest
import safetensors.numpy

from ntkjax.checkpoints.mask import MaskFacts, read_mask, theta_hash
from ntkjax.commands.mask.run import run_mask
from ntkjax.commands.mask.settings import MaskSettings
from ntkjax.commands.select.pool_passes import PoolCandidates
from ntkjax.commands.select.run import run_select
from ntkjax.data.examples import to_example
from ntkjax.devices.programs import Program
from ntkjax.errors import InputError
from ntkjax.models.lora import initial_theta
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import (
    DualsftOptions,
    LessOptions,
    MaskOptions,
    SketchOptions,
)
from ntkjax.selection.pickers.table import PICKERS
from ntkjax.store.shards import ShardedPass
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import (
    MAX_LENGTH,
    NUM_POOL,
    lines_of,
    numbers,
    result_of,
    settings_of,
    table_of,
    write_problem,
)
from tests.commands.world import build_world, write_records


TRAINING = TrainingSettings(steps=3, batch_size=4, learning_rate=0.01)
MASK = MaskOptions(share=0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("methods"))
    write_problem(world)
    target = world.root / "target.jsonl"
    records = [json.loads(line) for line in target.read_text().splitlines()]
    groups = ["north", "south", "north", "east", "south", "north", "east"]
    pairs = zip(records, groups, strict=True)
    write_records(
        world.root / "grouped.jsonl", [{**r, "group": group} for r, group in pairs]
    )
    write_records(world.root / "validation.jsonl", records[:3])
    first = json.loads((world.root / "pool.jsonl").read_text().splitlines()[0])
    spaced = {**first, "id": "spaced", "response": f" {first['response']}\n"}
    write_records(world.root / "spaced.jsonl", [spaced])
    (world.root / "empty.jsonl").write_text("")
    return world


@pytest.fixture(scope="module")
def run(world):
    """Function (name, changes) ↦ a run directory; all runs share their stages."""

    def run(name, **changes):
        out = world.root / name
        method = changes.get("method", "ntk")
        warmup = changes.get("warmup", METHODS[method].warmup)
        defaults = {
            "warmup": "auto",
            "stages": world.root / "stages",
            "target": (world.root / "grouped.jsonl",),
            **own_settings(method, warmup),
        }
        run_select(settings_of(world, out=out, **(defaults | changes)))
        return out

    return run


def own_settings(method, warmup):
    """Settings that only some methods and warm-ups take."""
    settings = {}
    if warmup != "none":
        settings["training"] = TRAINING
    if warmup == "pool":
        settings["warmup_share"] = 0.3
    if method in ("less", "cosine"):
        settings["sketch"] = SketchOptions(64)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs(world, run, method):
    out = run(method, method=method)
    result, ranks = result_of(out), numbers(out, "rank")
    assert (result["method"], result["num_selected"]) == (method, 4)
    assert result["picker"] == METHODS[method].picker
    lines = lines_of(world.root / "pool.jsonl")
    best = [int(np.flatnonzero(ranks == rank)[0]) for rank in (1, 2, 3, 4)]
    assert lines_of(out / "selected.jsonl") == [lines[row] for row in best]
    scores = numbers(out, "score")[~np.isnan(ranks)]
    if METHODS[method].picker == "top":
        order = np.argsort(ranks[~np.isnan(ranks)])
        assert (np.diff(scores[order]) <= 0).all()
    if METHODS[method].shortlist == "none":
        assert len(scores) == NUM_POOL
    kind = METHODS[method].warmup
    assert result["warmup"]["kind"] == ("adapter" if kind == "none" else kind)
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE")


CELLS = [
    (method, picker)
    for method in METHODS
    for picker in PICKERS
    if PICKERS[picker].needs in (None, *METHODS[method].gives)
    and picker != METHODS[method].picker
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "picker"), CELLS)
def test_every_cell_runs(run, method, picker):
    out = run(f"{method}-{picker}", method=method, picker=picker)
    assert table_of(out)["stage"].count("selected") == 4
    ranks = numbers(out, "rank")
    scored = np.sort(ranks[~np.isnan(ranks)])
    np.testing.assert_array_equal(scored, np.arange(1, len(scored) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("picker", PICKERS)
def test_a_row_is_parsed_to_be_checked_computed_trained_on_and_shown(
    world, run, monkeypatch, picker
):
    """Once each, and once if its length is sampled. What it is called is noted."""
    parsed, computed = [], []
    read = PoolCandidates.read
    monkeypatch.setattr(
        "ntkjax.data.pool.to_example", lambda r: parsed.append(r) or to_example(r)
    )
    monkeypatch.setattr(
        PoolCandidates, "read", lambda c, rows: computed.extend(rows) or read(c, rows)
    )
    method = "less" if picker == "facility-location" else "gradient-dot"
    stages = world.root / f"stages of {picker}"
    changes = {"method": method, "picker": picker, "stages": stages}
    for name in ("first", "again"):
        result = result_of(run(f"{name} {picker}", **changes))
        shown = 4 + sum(len(group) for group in result["texts"].values())
        others = shown + result["warmup"]["examples"]
        assert len(parsed) == NUM_POOL + len(computed) + others
        assert (len(computed) > 0) == (name == "first")
        parsed.clear()
        computed.clear()


@pytest.mark.slow
def test_groups_take_turns(run):
    """The first three picks are the best for each group alone."""
    out = run("turns", method="gradient-dot", picker="round-robin")
    ranks = numbers(out, "rank")
    best = []
    for group in ("north", "south", "east"):
        alone = run(f"only-{group}", method="gradient-dot", target=(_only(out, group),))
        order = np.argsort(numbers(alone, "rank"))
        best.append(next(row for row in order if row not in best))
    assert np.argsort(ranks)[:3].tolist() == best


def _only(out, group):
    path = out.parent / f"{group}.jsonl"
    lines = (out.parent / "grouped.jsonl").read_text().splitlines()
    write_records(path, [r for r in map(json.loads, lines) if r["group"] == group])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("curvature", ["adam", "fisher"])
def test_another_budget_needs_no_pass_of_the_model(run, monkeypatch, curvature):
    """Nor does another picker, nor another share of parameters."""
    changes = {
        "method": "dualsft",
        "mask": MASK,
        "dualsft": DualsftOptions(curvature=curvature),
    }
    first = run(f"budget-4-{curvature}", **changes)

    def refuse(self, *arguments):
        raise AssertionError("a program was run again")

    monkeypatch.setattr(Program, "__call__", refuse)
    second = run(f"budget-9-{curvature}", budget=9, **changes)
    run(f"quota-{curvature}", picker="quota", **changes)
    run(f"more-{curvature}", **{**changes, "mask": MaskOptions(share=0.5)})
    np.testing.assert_array_equal(numbers(first, "score"), numbers(second, "score"))
    assert set(lines_of(first / "selected.jsonl")) < set(
        lines_of(second / "selected.jsonl")
    )


@pytest.mark.slow
def test_methods_share_warm_up_and_passes(run, monkeypatch):
    run("shared-dot", method="gradient-dot")
    folders = []
    write = ShardedPass.write

    def noted(self, shard, arrays, notes):
        folders.append(self.folder.name.rpartition("-")[0])
        write(self, shard, arrays, notes)

    monkeypatch.setattr(ShardedPass, "write", noted)
    first_order = DualsftOptions(lambda_prior=0.0, kappa=0.0)
    out = run("first-order", method="dualsft", dualsft=first_order)
    assert set(folders) <= {"loss-gradient"}  # rows are those of gradient-dot
    dot = run("shared-dot-again", method="gradient-dot")
    np.testing.assert_array_equal(numbers(out, "score"), numbers(dot, "score"))


@pytest.mark.slow
@pytest.mark.parametrize("parameters", ["lora", "full"])
def test_dualsft_leaves_scores_of_parameters_and_a_mask(world, run, parameters):
    changes = {"adapter": None} if parameters == "full" else {}
    out = run(
        f"dual-{parameters}",
        method="dualsft",
        mask=MASK,
        parameters=parameters,
        **changes,
    )
    stored = safetensors.numpy.load_file(out / "parameters.safetensors")
    shapes = {
        name.removeprefix("score/"): leaf.shape
        for name, leaf in stored.items()
        if name.startswith("score/")
    }
    mask = safetensors.numpy.load_file(out / "mask.safetensors")
    assert {name: leaf.shape for name, leaf in mask.items()} == shapes
    facts = result_of(out)["method_facts"]
    total = sum(leaf.size for leaf in mask.values())
    assert facts["mask_parameters"] == sum(leaf.sum() for leaf in mask.values())
    assert facts["mask_parameters"] == total // 10
    run_mask(MaskSettings(out, out / "again.safetensors", mask=MASK))
    again = (out / "again.safetensors").read_bytes()
    assert again == (out / "mask.safetensors").read_bytes()
    kept = out / ("adapter" if parameters == "lora" else "model")
    assert kept.is_dir()


@pytest.mark.slow
def test_the_mask_says_what_it_belongs_to(world, run):
    out = run("fresh", method="dualsft", mask=MASK, adapter=None, seed=3)
    import jax

    from ntkjax.checkpoints.loading import load_model, model_files
    from ntkjax.models.lora import LoraSettings
    from ntkjax.store.run_directory import hash_files

    lora = LoraSettings()
    model = load_model(world.model, lora)
    start = theta_hash(initial_theta(model.theta_shapes, jax.random.key(3)))
    facts = MaskFacts(hash_files(model_files(world.model)), lora, start)
    read_mask(out / "mask.safetensors", model.theta_shapes, facts)


def test_the_lowest_scores_as_a_control(run):
    out = run("reverse", method="gradient-dot", reverse=True)
    scores, ranks = numbers(out, "score"), numbers(out, "rank")
    chosen = ranks <= 4
    assert scores[chosen].max() <= scores[~chosen].min()


@pytest.mark.slow
def test_validation_files_take_the_place_of_the_target(world, run):
    validation = (world.root / "validation.jsonl",)
    out = run("validated", method="dualsft", validation=validation)
    assert result_of(out)["num_aim"] == 3
    with_target = run("unvalidated", method="dualsft")
    assert np.ptp(numbers(out, "score") - numbers(with_target, "score")) > 0


BAD = {
    "validation in the pool": (
        {"method": "dualsft", "target": "pool.jsonl"},
        r"pool\.jsonl:1: the validation example 'p0' is also in the pool",
    ),
    "validation in the pool but for white space": (
        {"method": "dualsft", "validation": "spaced.jsonl"},
        r"spaced\.jsonl:1: the validation example .* is also in the pool",
    ),
    "no validation at all": (
        {"method": "dualsft", "validation": "empty.jsonl"},
        r"empty\.jsonl: no examples; expected at least one record",
    ),
    "a mask without a size": (
        {"method": "dualsft", "mask": MaskOptions(granularity="row")},
        "mask.share or mask.budget: give one of them",
    ),
    "no validation left": (
        {"method": "dualsft", "validation_share": 0.01},
        "validation_share 0.01: leaves no example to take the validation gradient",
    ),
    "nothing left to warm up on": (
        {"method": "dualsft", "warmup": "target"},
        "validation_share 1.0: leaves no example for the warm-up on the target",
    ),
    "no group": (
        {"method": "gradient-dot", "picker": "round-robin", "target": "target.jsonl"},
        r'target\.jsonl:1 has no field "group"',
    ),
    "a mask above P": (
        {"method": "dualsft", "mask": MaskOptions(budget=10**9)},
        "mask.budget 1000000000: there are only",
    ),
    "a mask below a layer": (
        {"method": "dualsft", "mask": MaskOptions(budget=1, granularity="layer")},
        "mask.budget 1: the smallest layer has",
    ),
    "quotas of rows": (
        {
            "method": "dualsft",
            "mask": MaskOptions(0.1, granularity="row", module_quota=0.1),
        },
        "mask.module_quota: expected mask.granularity element, not row",
    ),
    "no moments": (
        {"method": "less", "warmup": "none"},
        "method less: needs the Adam moments of a warm-up",
    ),
    "an unknown source": (
        {"picker": "quota", "quotas": ("web=1",)},
        "quotas web: no candidate has this source; expected some of wiki, code",
    ),
    "too few of a source": (
        {"method": "loss", "picker": "quota", "quotas": ("wiki=1",), "budget": 20},
        "quotas: the named sources hold only 14 of the 20",
    ),
    "kernels of all weights": (
        {"parameters": "full", "adapter": None},
        "method ntk: kernels of a model whose head is trained",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(world, run, case):
    changes, says = BAD[case]
    for flag in {"target", "validation"} & changes.keys():
        changes = changes | {flag: (world.root / changes[flag],)}
    name = f"bad-{case.replace(' ', '-')}"
    with pytest.raises(InputError, match=says) as caught:
        run(name, **changes)
    assert "\n" not in str(caught.value)
    claims = (world.root / name / "run.yaml").exists()
    assert claims == (case in SEEN_LATE)


SEEN_LATE = ("too few of a source",)
"""Known when all candidates are scored; all else is refused before a run begins."""


def test_less_without_a_warm_up_on_plain_gradients(run):
    out = run("sgd", method="less", warmup="none", less=LessOptions("sgd"))
    assert result_of(out)["method_facts"]["checkpoints"] == 1
    assert numbers(out, "tokens").max() <= MAX_LENGTH
