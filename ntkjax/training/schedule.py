"""The learning rate of each step, computed on the host.

The compiled step takes it as an argument, so that trainings of other lengths and other
learning rates share one program.
"""

import math

from ntkjax.training.settings import TrainingSettings


def learning_rate(settings: TrainingSettings, step: int, num_steps: int) -> float:
    """The learning rate of one step out of `num_steps`, counted from 0.

    It rises linearly over the warm-up, η (step + 1) / w, and then falls with the share
    p of the other steps that are done: η (1 + cos πp) / 2, or η (1 − p).
    """
    highest = settings.learning_rate
    num_warmup = math.ceil(settings.warmup_share * num_steps)
    if step < num_warmup:
        return highest * (step + 1) / num_warmup
    if settings.schedule == "constant":
        return highest
    done = (step - num_warmup) / (num_steps - num_warmup)
    if settings.schedule == "linear":
        return highest * (1 - done)
    return highest * (1 + math.cos(math.pi * done)) / 2
