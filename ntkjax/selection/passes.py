"""What a method runs over which examples: the words in which it says what it costs.

`ntkjax plan` gives each pass its price; nothing here knows of seconds or of devices. A
pass over candidates is shared out among processes and kept on disk; what is done on the
target, every process does for itself.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """How many of everything a selection has to do with.

    Attributes:
        pool: Candidates in all.
        scored: Candidates that the method scores.
        target: Target examples.
        chosen: About so many examples are chosen.
        snapshots: Of the warm-up; 1 without one.
        rows_per_shard: Candidates whose results are kept together.
        theta: Numbers of θ.
    """

    pool: int
    scored: int
    target: int
    chosen: int
    snapshots: int
    rows_per_shard: int
    theta: int


@dataclass(frozen=True)
class Pass:
    """One pass over examples.

    Attributes:
        stage: What it is for.
        program: What the devices run, by its name in
            `ntkjax.commands.plan.costs.programs`; None for work of the host alone.
        examples: How many.
        side: Whose lengths they have: `pool` or `target`.
        is_shared: Whether processes share the examples out, through shards on disk.
        outputs: s of the program.
        repeats: How often the pass is made.
        row_bytes: What it keeps for each example, beside length and cut.
        shard_bytes: What it keeps for each shard.
        host_flops: Products of float64 matrices, on one host.
        reads_embeddings: Whether the embeddings of all examples come from disk.
        hashed_texts: How often the words of each example are hashed.
    """

    stage: str
    program: str | None
    examples: int
    side: str = "pool"
    is_shared: bool = False
    outputs: int = 1
    repeats: int = 1
    row_bytes: int = 0
    shard_bytes: int = 0
    host_flops: float = 0.0
    reads_embeddings: bool = False
    hashed_texts: int = 0


def over_candidates(
    stage: str,
    program: str | None,
    counts: Counts,
    *,
    outputs: int = 1,
    repeats: int = 1,
    row_bytes: int = 0,
    shard_bytes: int = 0,
) -> Pass:
    """A pass over the candidates that are scored; the rest are fields of `Pass`."""
    return Pass(
        stage,
        program,
        counts.scored,
        is_shared=True,
        outputs=outputs,
        repeats=repeats,
        row_bytes=row_bytes,
        shard_bytes=shard_bytes,
    )


def on_target(
    stage: str, program: str, counts: Counts, *, outputs: int = 1, repeats: int = 1
) -> Pass:
    """A pass over the target; the rest are fields of `Pass`."""
    return Pass(
        stage, program, counts.target, "target", outputs=outputs, repeats=repeats
    )
