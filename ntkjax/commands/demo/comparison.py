"""Fine-tunings on different data, asked the same questions: which data helped?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh

from ntkjax.checkpoints.loading import load_model
from ntkjax.checkpoints.text_encoder import TextEncoder, text_encoder
from ntkjax.data.examples import Example
from ntkjax.evaluation.evaluate import evaluate
from ntkjax.evaluation.questions import Questions, prepare_questions
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LoraSettings, initial_theta
from ntkjax.training.loop import train_adapter
from ntkjax.training.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class Laboratory:
    """A model that is fine-tuned and asked many times over.

    Attributes:
        model: Frozen weights; every fine-tuning starts from a fresh adapter.
        encode: Examples to tokens.
        folder: The model's folder.
        training: The same for every fine-tuning.
        mesh: Devices.
    """

    model: LanguageModel
    encode: TextEncoder
    folder: Path
    training: TrainingSettings
    mesh: Mesh

    def questions(self, examples: Sequence[Example]) -> Questions:
        """Evaluation examples with choices, tokenized once."""
        return prepare_questions(
            examples, self.folder, max_length=self.encode.max_length
        )

    def accuracy(
        self, examples: Sequence[Example], questions: Questions, seed: int
    ) -> float:
        """Share of questions answered right after fine-tuning on the examples.

        The seed decides the fresh adapter and the order of the examples.
        """
        trained = train_adapter(
            self.model,
            initial_theta(self.model.theta_shapes, jax.random.key(seed)),
            [self.encode(examples)],
            self.training,
            seed=seed,
            max_length=self.encode.max_length,
            mesh=self.mesh,
        )
        return self._asked(trained.theta, questions)

    def base_accuracy(self, questions: Questions) -> float:
        """Share of questions that the model answers right without fine-tuning."""
        theta = initial_theta(self.model.theta_shapes, jax.random.key(0))
        return self._asked(theta, questions)

    def _asked(self, theta, questions: Questions) -> float:
        return evaluate(self.model, theta, questions, mesh=self.mesh).accuracy


def open_laboratory(
    folder: Path,
    lora: LoraSettings,
    training: TrainingSettings,
    max_length: int,
    mesh: Mesh,
) -> Laboratory:
    """A laboratory around the model in `folder`."""
    model = load_model(folder, lora)
    return Laboratory(model, text_encoder(folder, max_length), folder, training, mesh)


def compare(
    laboratory: Laboratory,
    arms: Mapping[str, Callable[[int], Sequence[Example]]],
    questions: Questions,
    seeds: Sequence[int],
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, list[float]]:
    """Accuracy of every arm at every seed.

    Args:
        laboratory: Model and training.
        arms: What each arm trains on, given the seed.
        questions: The same for all.
        seeds: Of fine-tunings; arms share them, so that differences can be paired.
        advance: Called with 1 after every fine-tuning.
    """
    found: dict[str, list[float]] = {name: [] for name in arms}
    for seed in seeds:
        for name, examples in arms.items():
            found[name].append(laboratory.accuracy(examples(seed), questions, seed))
            advance(1)
    return found
