"""What `ntkjax train` reads beside model and adapter: texts, and a mask of θ."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkjax.checkpoints.mask import Mask, MaskFacts, read_mask, theta_hash
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from ntkjax.math.seeds import stream
from ntkjax.runs.model import Prepared, tokenize_files
from ntkjax.settings.template import template_options
from ntkjax.training.plan import require_targets


@dataclass(frozen=True)
class Texts:
    """Tokenized examples.

    Attributes:
        sources: A list per data file.
        validation: Those held out.
        retention: General text, on which the loss is measured before and after.
    """

    sources: list[list[TokenizedExample]]
    validation: list[TokenizedExample]
    retention: list[TokenizedExample]


def read_texts(settings: TrainSettings, folder: Path) -> Texts:
    """The examples of all files.

    Raises:
        InputError: If a file cannot be used, the held-out share leaves nothing, or an
            example to measure on has nothing to predict.
    """
    examples = read_examples(settings.data)
    held_out = _held_out(settings, len(examples))
    sources: list[list[Example]] = []
    names = [example.location.rpartition(":")[0] for example in examples]
    for name in dict.fromkeys(names):
        mine = [i for i, other in enumerate(names) if other == name]
        sources.append([examples[i] for i in mine if i not in held_out])
    if settings.validation:
        validation = read_examples(settings.validation)
    else:
        validation = [examples[i] for i in sorted(held_out)]
    chosen = {str(number): source for number, source in enumerate(sources)}
    chosen["validation"] = validation
    chosen["retention"] = read_examples(settings.retain)
    tokenized, _ = tokenize_files(
        folder, chosen, settings.max_length, template_options(settings)
    )
    measured = {name: tokenized.pop(name) for name in ("validation", "retention")}
    for texts in measured.values():
        require_targets(texts)
    return Texts(list(tokenized.values()), **measured)


def read_training_mask(
    settings: TrainSettings, prepared: Prepared, model_hash: str
) -> Mask | None:
    """The mask of the settings; None where they name none.

    Raises:
        InputError: If it does not fit the model, the adapter and the start.
    """
    if settings.mask is None:
        return None
    model = prepared.model
    facts = MaskFacts(model_hash, model.lora, theta_hash(prepared.theta))
    return read_mask(settings.mask, model.theta_shapes, facts)


def _held_out(settings: TrainSettings, num_examples: int) -> set[int]:
    """Which examples the validation share takes: a seeded draw."""
    share = settings.validation_share
    if not share:
        return set()
    number = round(share * num_examples)
    if not 0 < number < num_examples:
        left = "no example to validate on" if not number else "no example to train on"
        raise InputError(
            f"leaves {left} out of {num_examples}.",
            field="validation_share",
            value=share,
        )
    rng = np.random.default_rng(stream(settings.seed, "validation"))
    return set(rng.permutation(num_examples)[:number].tolist())
