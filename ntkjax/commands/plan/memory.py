"""What every program of a selection holds on each device."""

from dataclasses import dataclass, replace

from ntkjax.commands.plan.costs.programs import PROGRAMS, STEP, Batched, theta_bytes
from ntkjax.commands.plan.costs.roofline import Layout
from ntkjax.commands.plan.selection import Selection
from ntkjax.selection.passes import Pass


@dataclass(frozen=True)
class MemoryUse:
    """Bytes on each device while one program runs, beside weights and θ.

    Attributes:
        stage: The first stage that runs it.
        program: Its name.
        rows: Examples at once.
        tokens: Their padded length.
        arguments: Directions, moments, tokens.
        activations: What it holds for a moment, without logits.
        logits: Its blocks of logits.
        total: All bytes, weights and θ included.
    """

    stage: str
    program: str
    rows: int
    tokens: int
    arguments: float
    activations: float
    logits: float
    total: float


def memory_of(
    selection: Selection, layout: Layout, passes: list[Pass]
) -> tuple[MemoryUse, ...]:
    """Every program once, at its longest batch; the largest first."""
    cost = selection.cost
    asked: list[tuple[str, str, Batched]] = []
    batch = Batched(cost, 1, 1, 1, layout.model, layout.hardware.platform)
    if selection.warmup_seen:
        rows = layout.rows(selection.micro_batch)
        tokens = selection.training_lengths.longest
        asked.append(("warm-up", STEP, replace(batch, rows=rows, tokens=tokens)))
    for each in passes:
        if each.program is not None:
            tokens = selection.workload.of(each.side).longest
            tokens_at_once = selection.settings.tokens_per_batch
            rows = layout.rows_at(tokens, tokens_at_once, each.examples)
            own = replace(batch, rows=rows, tokens=tokens, outputs=each.outputs)
            asked.append((each.stage, each.program, own))
    held = cost.divided_weights(layout.model) * cost.bytes_each + theta_bytes(cost)
    found: dict[str, MemoryUse] = {}
    for stage, name, own in asked:
        use = _use(stage, name, own, held)
        if name not in found or use.total > found[name].total:
            found[name] = use
    return tuple(sorted(found.values(), key=lambda use: -use.total))


def _use(stage: str, name: str, batch: Batched, held: float) -> MemoryUse:
    program = PROGRAMS[name]
    beside, temporary = program.beside(batch), program.temporary(batch)
    logits = min(program.logit_bytes(batch), temporary)
    return MemoryUse(
        stage=stage,
        program=name,
        rows=batch.rows,
        tokens=batch.tokens,
        arguments=beside,
        activations=temporary - logits,
        logits=logits,
        total=held + beside + temporary,
    )
