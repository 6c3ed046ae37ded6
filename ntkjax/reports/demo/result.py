"""What `ntkjax demo` found: the content of `demo.json`."""

from dataclasses import dataclass

from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.math.bootstrap import Estimate
from ntkjax.selection.result import SourceCounts


@dataclass(frozen=True)
class OverSeeds(Estimate):
    """A mean over fine-tunings, its interval, and the value at each seed."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class DemoSource(SourceCounts):
    """A source of the pool, and whether it teaches a skill that the domain needs."""

    needed: bool


@dataclass(frozen=True)
class Shares:
    """Shares of needed skills among the chosen, by what chose; and in the pool."""

    kernel: float
    vote: float
    random: float
    pool: float


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """A demo.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        model: Its name.
        domain: Its name.
        needed: Skills that it asks for.
        world_seed: Of the world.
        budget: Examples that were chosen.
        seeds: How many fine-tunings of each kind.
        num_pool: Examples of the pool.
        num_train: Examples of the domain.
        num_questions: Questions of the domain.
        kernels: The exact one first.
        sources: By the number of chosen examples, then by name.
        shares: Of needed skills.
        base_accuracy: Of the model as it is.
        accuracy: By what it was fine-tuned on: `domain only`, `random + domain`,
            `selected + domain`.
        differences: Of accuracies: `selected + domain against` each of the others.
        seconds: By part.
        versions: By package.
        device: In words.
    """

    schema: int = 1
    model: str
    domain: str
    needed: tuple[str, ...]
    world_seed: int
    budget: int
    seeds: int
    num_pool: int
    num_train: int
    num_questions: int
    kernels: tuple[KernelFidelity, ...]
    sources: tuple[DemoSource, ...]
    shares: Shares
    base_accuracy: float
    accuracy: dict[str, OverSeeds]
    differences: dict[str, OverSeeds]
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str
