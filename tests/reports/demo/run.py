"""A made-up demo, as `ntkjax demo` writes it down."""

import numpy as np

from ntkjax.data.world_words import DISTRACTORS, DOMAINS, SKILLS
from ntkjax.math.intervals import mean_interval
from ntkjax.reports.demo.result import DemoResult, DemoSource, OverSeeds, Shares
from tests.reports.fidelity.synthetic import kernel


KERNELS = (  # name, cost, cross-term ratio, error after factor, Spearman
    ("exact", 129.0, 0.0, 0.0, (1.0, 1.0, 1.0)),
    ("summed", 2.0, 211.0, 0.31, (0.88, 0.81, 0.92)),
    ("centered", 130.0, 0.42, 0.06, (0.96, 0.94, 0.98)),
    ("spectral_1", 2.0, 0.83, 0.28, (0.91, 0.86, 0.94)),
    ("spectral_4", 5.0, 0.71, 0.15, (0.95, 0.92, 0.97)),
    ("spectral_16", 17.0, 0.52, 0.07, (0.98, 0.97, 0.99)),
    ("random_1", 2.0, 0.21, 0.2, (0.87, 0.79, 0.91)),
    ("random_16", 17.0, 0.08, 0.05, (0.991, 0.985, 0.994)),
    ("deflated_4_12", 17.0, 0.06, 0.03, (0.996, 0.993, 0.997)),
)
ACCURACIES = {
    "wins": {
        "domain only": [0.271, 0.286, 0.262],
        "random + domain": [0.318, 0.302, 0.333],
        "selected + domain": [0.583, 0.565, 0.612],
    },
    "ties": {  # with random, but wins against the domain alone
        "domain only": [0.231, 0.226, 0.222],
        "random + domain": [0.318, 0.302, 0.333],
        "selected + domain": [0.321, 0.308, 0.315],
    },
    "loses": {
        "domain only": [0.571, 0.586, 0.562],
        "random + domain": [0.538, 0.552, 0.533],
        "selected + domain": [0.253, 0.262, 0.249],
    },
}


def demo_run(outcome: str = "wins", domain: str = "medical", **changes) -> DemoResult:
    """A demo in which the chosen examples win, tie or lose."""
    found = ACCURACIES[outcome]
    needed = tuple(DOMAINS[domain])
    selected = found["selected + domain"]
    values = {
        "model": "embedded",
        "domain": domain,
        "needed": needed,
        "world_seed": 0,
        "budget": 192,
        "seeds": 3,
        "num_pool": 2208,
        "num_train": 36,
        "num_questions": 192,
        "kernels": tuple(
            kernel(name, cost, order, ratio, error, 0.9 * order[0])
            for name, cost, ratio, error, order in KERNELS
        ),
        "sources": _sources(needed),
        "shares": Shares(
            kernel=137 / 192, vote=116 / 192, random=0.1597, pool=360 / 2208
        ),
        "base_accuracy": 0.2448,
        "accuracy": {name: interval(values) for name, values in found.items()},
        "differences": {
            f"selected + domain against {other}": interval(
                np.subtract(selected, found[other]).tolist()
            )
            for other in ("domain only", "random + domain")
        },
        "seconds": {
            "fidelity": 28.14,
            "selection": 14.52,
            "fine-tunings": 52.9,
            "all": 95.6,
        },
        "versions": {"python": "3.11.9", "ntkjax": "0.1.0", "jax": "0.10.1"},
        "device": "1 × cpu on 2 x86_64 cores",
    }
    return DemoResult(**(values | changes))


def interval(values: list[float]) -> OverSeeds:
    """Mean and 95% interval of the values, and the values."""
    return OverSeeds(**vars(mean_interval(values)), values=tuple(values))


def _sources(needed: tuple[str, ...]) -> tuple[DemoSource, ...]:
    pool = {name: 120 for name in SKILLS} | {name: 96 for name in DISTRACTORS}
    chosen = dict(zip(needed, (62, 45, 30), strict=False))
    chosen |= {"hospital toys": 25, "visiting hours": 18, "sound": 12}
    return tuple(
        DemoSource(
            source=name,
            pool=count,
            shortlisted=min(count, 2 * chosen.get(name, 0) + 5),
            selected=chosen.get(name, 0),
            pool_share=count / 2208,
            selected_share=chosen.get(name, 0) / 192,
            needed=name in needed,
        )
        for name, count in pool.items()
    )
