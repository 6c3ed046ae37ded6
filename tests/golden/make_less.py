# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "torch==2.13.0",
#   "numpy",
#   "safetensors",
# ]
# ///
"""LESS (arXiv 2402.04333) on random gradients, written as its formulas stand.

Writes `less/expected.safetensors` beside this file (README.md has the layout), after
checking that the update with bias correction and ε outside the root is the step that
`torch.optim.Adam` takes, and that each option and each part of the score matters.
"""

import json
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
import torch
from torch.nn.functional import normalize


FOLDER = pathlib.Path(__file__).parent / "less"

EPOCHS, CANDIDATES, TARGET, P, K = 3, 6, 5, 50, 16
GROUPS = [0, 1, 0, 1, 1]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
OPTIONS = {  # epsilon_inside_root, bias_correction
    "inside": (True, False),
    "inside_corrected": (True, True),
    "outside": (False, False),
    "outside_corrected": (False, True),
}


def main():
    arrays = inputs()
    given = {name: torch.from_numpy(array) for name, array in arrays.items()}
    wide = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in given.items()
    }
    found = {}
    for name, (inside, corrected) in OPTIONS.items():
        updates = torch.stack(
            [adam_updates(wide, epoch, inside, corrected) for epoch in range(EPOCHS)]
        )
        units, influence = influences(wide, updates)
        found[f"updates/{name}"] = updates
        found[f"units/{name}"] = units
        found[f"influence/{name}"] = influence
        found[f"scores/{name}"] = influence.max(dim=1).values
    check_against_adam(wide, found["updates/outside_corrected"])
    check_everything_matters(found)
    FOLDER.mkdir(exist_ok=True)
    versions = {m.__name__: m.__version__ for m in (torch, np, safetensors)}
    safetensors.numpy.save_file(
        arrays | {name: tensor.numpy() for name, tensor in found.items()},
        FOLDER / "expected.safetensors",
        metadata={"versions": json.dumps(versions)},
    )


def inputs():
    """Gradients of many sizes: ε = 1e-8 counts under the root, and beside it."""
    rng = np.random.default_rng(2402_04333)
    sizes = 10 ** rng.uniform(-7.5, -3.5, P)
    draw = lambda *shape: (sizes * rng.standard_normal(shape)).astype(np.float32)
    return {
        "gradients": draw(EPOCHS, CANDIDATES, P),
        "target_gradients": draw(EPOCHS, TARGET, P),
        "first": 0.03 * draw(EPOCHS, P),
        "second": (0.1 * draw(EPOCHS, P)) ** 2,
        "num_steps": np.array([4, 8, 12], np.int32),
        "learning_rates": np.array([1.69e-5, 1.29e-5, 7.7e-6], np.float32),
        "signs": np.where(rng.random((P, K)) < 0.5, -1, 1).astype(np.float32),
        "groups": np.array(GROUPS, np.int32),
    }


def adam_updates(given, epoch, inside, corrected):
    """Γ of every candidate, [n, P]."""
    g, m, s = (given[name][epoch] for name in ("gradients", "first", "second"))
    m = BETA1 * m + (1 - BETA1) * g
    s = BETA2 * s + (1 - BETA2) * g**2
    if corrected:
        steps = int(given["num_steps"][epoch]) + 1
        m, s = m / (1 - BETA1**steps), s / (1 - BETA2**steps)
    return m / torch.sqrt(s + EPSILON) if inside else m / (torch.sqrt(s) + EPSILON)


def influences(given, updates):
    """Unit projections of the updates [t, n, K], and Inf by group [n, g]."""
    units = normalize(updates @ given["signs"], dim=-1)
    targets = normalize(given["target_gradients"] @ given["signs"], dim=-1)
    weights = given["learning_rates"] / given["learning_rates"].sum()
    each = sum(
        weight * unit @ target.T
        for weight, unit, target in zip(weights, units, targets, strict=True)
    )
    groups = given["groups"]
    means = [each[:, groups == group].mean(dim=1) for group in groups.unique()]
    return units, torch.stack(means, dim=1)


def check_against_adam(given, updates):
    """A step of `torch.optim.Adam` at learning rate 1 from 0 ends at -Γ."""
    for epoch in range(EPOCHS):
        for row in range(CANDIDATES):
            theta = torch.zeros(P, dtype=torch.float64, requires_grad=True)
            adam = torch.optim.Adam([theta], 1.0, (BETA1, BETA2), EPSILON)
            adam.state[theta] = {
                "step": torch.tensor(float(given["num_steps"][epoch])),
                "exp_avg": given["first"][epoch].clone(),
                "exp_avg_sq": given["second"][epoch].clone(),
            }
            theta.grad = given["gradients"][epoch, row].clone()
            adam.step()
            torch.testing.assert_close(theta.detach(), -updates[epoch, row])


def check_everything_matters(found):
    """The options differ by far more than rounding, and so do the groups."""
    scores = torch.stack([found[f"scores/{name}"] for name in OPTIONS])
    for a in range(len(scores)):
        for b in range(a):
            assert (scores[a] - scores[b]).abs().max() > 1e-3, (a, b)
    for name in OPTIONS:
        best = found[f"influence/{name}"].argmax(dim=1)
        assert len(best.unique()) == len(set(GROUPS)), name


if __name__ == "__main__":
    main()
