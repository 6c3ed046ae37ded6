"""How long each stage of a selection takes: by roofs, or at rates measured here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ntkjax.commands.plan.costs.programs import PROGRAMS, STEP
from ntkjax.commands.plan.costs.roofline import (
    Host,
    Layout,
    Rates,
    device_time,
    mean_flops,
)
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.workload import Lengths
from ntkjax.selection.passes import Pass


@dataclass(frozen=True)
class Stage:
    """One row of the table of times.

    Attributes:
        name: What it is for.
        program: What the devices run; None for work of the host.
        examples: How many, repeats counted.
        flops: Of one example, padding included.
        binds: Which roof is the lowest, or `measured`.
        seconds: How long it takes.
    """

    name: str
    program: str | None
    examples: int
    flops: float
    binds: str
    seconds: float


@dataclass(frozen=True)
class Clock:
    """Times the stages of one selection on one mesh.

    Attributes:
        selection: What is selected.
        layout: Where.
        rates: Measured here, in place of roofs.
        host: What the host does.
        compiled: Shapes of programs that were counted as compiled.
    """

    selection: Selection
    layout: Layout
    rates: Rates
    host: Host
    compiled: set[tuple[str, int, int]] = field(default_factory=set)

    def stages(self, passes: Sequence[Pass]) -> list[Stage]:
        """All stages in order."""
        own = [self._pass(each) for each in passes]
        return [self._load(), *self._warm_up(), *own]

    def _load(self) -> Stage:
        """Weights from disk, and every line of the pool."""
        cost, per_host = self.selection.cost, self.layout.hardware.chip.per_host
        parts = max(1, self.layout.model // per_host)
        read = cost.num_weights * cost.bytes_each / parts / self.host.read_rate
        rows = self.selection.workload.num_pool
        return _host_stage("load", rows, read + rows * self.host.row_seconds)

    def _warm_up(self) -> list[Stage]:
        """One process trains, on its own data groups."""
        seen = self.selection.warmup_seen
        if seen == 0:
            return []
        step = Pass("warm-up", STEP, seen)
        rows = self.layout.rows(self.selection.micro_batch)
        return [self._on_devices(step, self.selection.training_lengths, rows, 0.0)]

    def _pass(self, each: Pass) -> Stage:
        waits = self._host_seconds(each)
        if each.program is None:
            return _host_stage(each.stage, each.examples, waits)
        settings, layout = self.selection.settings, self.layout
        tokens = settings.tokens_per_batch
        rows_at = lambda length: layout.rows_at(length, tokens, each.examples)
        at_once = each.examples
        if each.is_shared:
            at_once = min(at_once, settings.rows_per_shard)
        lengths = self.selection.workload.of(each.side)
        whole = lambda length: layout.groups_per_team * rows_at(length)
        lengths = lengths.merged(at_once, whole)
        return self._on_devices(each, lengths, rows_at(lengths.commonest), waits)

    def _on_devices(
        self, each: Pass, lengths: Lengths, rows: int, waits: float
    ) -> Stage:
        assert each.program is not None
        program, cost = PROGRAMS[each.program], self.selection.cost
        examples = each.examples * each.repeats
        flops = mean_flops(program, cost, lengths, each.outputs)
        row = Stage(each.stage, each.program, examples, flops, "measured", 0.0)
        if each.program in self.rates:
            batches = max(1.0, examples / (rows * self.layout.groups_per_team))
            seconds = waits + self._at_rate(row, lengths, each.outputs, batches)
            return replace(row, seconds=seconds)
        found = device_time(
            program,
            cost,
            self.layout,
            lengths,
            examples=examples,
            rows=rows,
            outputs=each.outputs,
            is_shared=each.is_shared,
            host=waits,
        )
        return replace(row, binds=found.binds, seconds=found.total)

    def _at_rate(
        self, row: Stage, lengths: Lengths, outputs: int, batches: float
    ) -> float:
        """Seconds at a measured rate, scaled by FLOPs, and of compilations.

        A length that so many batches will hardly see is hardly compiled.
        """
        assert row.program is not None
        rate = self.rates[row.program]
        compilations = 0.0
        for tokens, share in lengths.shares:
            shape = row.program, tokens, outputs
            if shape not in self.compiled:
                compilations += min(1.0, share * batches)
                self.compiled.add(shape)
        running = row.examples * rate.seconds * row.flops / rate.flops
        return running + compilations * rate.compile_seconds

    def _host_seconds(self, each: Pass) -> float:
        """Reading, tokenizing, storing and arithmetic of the host."""
        own = each.host_flops / self.host.float64_rate
        if each.hashed_texts:
            seconds = self.host.row_seconds + each.hashed_texts * _HASHING
            own += each.examples * seconds
        if each.is_shared:
            mean = self.selection.workload.of(each.side).mean
            rows = each.examples * each.repeats / self.layout.num_teams
            text = self.host.row_seconds + mean / self.host.tokens_rate
            return own + rows * (text + each.row_bytes / self.host.read_rate)
        if each.reads_embeddings:  # for their checksums, and for what is in them
            width = 4 * self.selection.cost.config.hidden_size
            own += 2 * each.examples * width / self.host.read_rate
        return own


_HASHING = 1.2e-4
"""Seconds to hash a text's words and pairs of words: measured, 120 tokens a text."""


def _host_stage(name: str, examples: int, seconds: float) -> Stage:
    return Stage(name, None, examples, 0.0, "host", seconds)
