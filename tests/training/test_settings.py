import pytest

from ntkjax.errors import InputError
from ntkjax.training.settings import TrainingSettings, check_training_settings


BAD = [
    ({"batch_size": 0}, "training.batch_size 0: "),
    ({"micro_batch": 3}, "training.micro_batch 3: expected a divisor .* 16"),
    ({"micro_batch": 0}, "training.micro_batch 0: "),
    ({"micro_batch": 32}, "training.micro_batch 32: "),
    ({"learning_rate": 0.0}, "training.learning_rate 0.0: "),
    ({"learning_rate": -1.0}, "training.learning_rate -1.0: "),
    ({"learning_rate": float("nan")}, "training.learning_rate nan: "),
    ({"learning_rate": float("inf")}, "training.learning_rate inf: "),
    ({"schedule": "step"}, "training.schedule step: .*cosine, linear, constant"),
    ({"warmup_share": 1.5}, "training.warmup_share 1.5: "),
    ({"weight_decay": -0.1}, "training.weight_decay -0.1: "),
    ({"beta1": 1.0}, "training.beta1 1.0: "),
    ({"beta2": -0.1}, "training.beta2 -0.1: "),
    ({"max_grad_norm": -1.0}, "training.max_grad_norm -1.0: "),
    ({"epochs": 0.0}, "training.epochs 0.0: "),
    ({"steps": 0}, "training.steps 0: "),
    ({"token_budget": -5}, "training.token_budget -5: "),
    (
        {"epochs": 1.0, "steps": 5},
        "training.epochs and training.steps: only one of them",
    ),
    (
        {"steps": 5, "token_budget": 5},
        "training.steps and training.token_budget: only one of them",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_training_settings(TrainingSettings(**changes), "training.")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"micro_batch": 4},
        {"steps": 1},
        {"epochs": 0.1},
        {"warmup_share": 1.0},
        {"max_grad_norm": 0.0},
    ],
)
def test_good_values_pass(changes):
    check_training_settings(TrainingSettings(**changes))
