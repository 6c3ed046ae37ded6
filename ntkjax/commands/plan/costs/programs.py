"""The compiled programs of a selection: FLOPs and memory of each, for one batch.

FLOPs are those of `ntkjax.commands.plan.costs.model_cost`. Memory was read off XLA's
own account of these very programs on CPU, in numbers per token of a batch, with f the
feed-forward width, d the hidden size, a = heads · T, v = 2 · key/value width. XLA is
not asked while planning: on CPUs its account of a 16-bit model holds all weights again
in float32, which no accelerator does, and each program compiles for seconds, for every
batch size that is tried. The terms:

    one layer, forward        max(5 f + d, 2 a + 2 d)
    one layer, s directions   max(6 f + 4 d + s (7 f + d), 2 a + 2 d + s (2 a + d))
    written by a layer        8 f + 4.4 d + 2 a + v
    a block of logits         2 V (value, VJP), 3 V (JVP, training step)

A VJP keeps what every layer writes. Of a model whose layers are a scan
(`ntkjax.models.stacking`) it keeps each layer's input and products with weights alone,
and what one layer writes; and there each program holds the weights of one layer.

Directions fill blocks of `_SIDE_BY_SIDE`; two blocks and more are a loop, for which XLA
keeps twice what a VJP keeps. Where devices share the weights, XLA on CPUs finishes the
forward pass before the directions begin, and so keeps what a VJP keeps, and 2.5 (f + d)
for each layer and each direction after the first; whether TPUs do so is not known. In
16-bit types adapters, softmax and logits stay float32: that is an assumption, since
CPUs compute in float32 anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.models.lora import LAYER_MATRICES
from ntkjax.models.stacking import STACKED_FROM
from ntkjax.outputs.loss import positions_at_once


_SIDE_BY_SIDE = 8
"""Directions beside each other in `ntkjax.gradients.directional`."""
STEP, DIVERGENCE = "training step", "divergence"
_BLOCK = 128
"""Positions of a block of logits in `ntkjax.outputs.divergence`."""
_TRAINING_LOGITS = 2**24
"""Numbers of a block of logits in `ntkjax.training.programs`."""


@dataclass(frozen=True)
class Batched:
    """What one device computes at once.

    Attributes:
        cost: The model.
        rows: Examples.
        tokens: T, the padded length of each.
        outputs: s: directions, or outputs of a VJP.
        model: Devices that share the weights.
        platform: JAX's name of the devices' kind.
    """

    cost: ModelCost
    rows: int
    tokens: int
    outputs: int = 1
    model: int = 1
    platform: str = "cpu"


@dataclass(frozen=True)
class Work:
    """FLOPs of one example.

    Attributes:
        cut: In products that the devices of a data group share.
        whole: In products with θ, float32, which each device of a group does itself.
        passes: How many times all weights are read for a batch.
        sums: Sums over a data group for each layer and token, in rows of d numbers.
    """

    cut: float
    whole: float
    passes: float
    sums: float

    @property
    def total(self) -> float:
        """All FLOPs."""
        return self.cut + self.whole


@dataclass(frozen=True)
class Program:
    """One kind of program.

    Attributes:
        name: What it computes for an example.
        work: FLOPs.
        memory: Bytes beside arguments, given those of its blocks of logits.
        directions: How often θ's numbers are held beside θ, per output.
        logits: Copies of a block of logits; 0 for a program without the head.
        is_backward: Whether it takes so few rows at once as a backward pass does.
    """

    name: str
    work: Callable[[ModelCost, int, int], Work]
    memory: Callable[[Batched, float], float]
    directions: int = 0
    logits: int = 0
    is_backward: bool = False

    def arguments(self, batch: Batched) -> float:
        """Bytes of weights, θ, directions and tokens that the program reads."""
        cost = batch.cost
        unread = 0 if self.logits else cost.head_weights / batch.model
        weights = (cost.divided_weights(batch.model) - unread) * cost.bytes_each
        return weights + theta_bytes(cost) + self.beside(batch)

    def beside(self, batch: Batched) -> float:
        """Bytes of arguments beside weights and θ: directions, moments, tokens."""
        theta = 4.0 * batch.cost.num_theta
        return theta * self.directions * batch.outputs + 9 * batch.rows * batch.tokens

    def temporary(self, batch: Batched) -> float:
        """Bytes beside arguments."""
        return self.memory(self._at_once(batch), self.logit_bytes(batch))

    def logit_bytes(self, batch: Batched) -> float:
        """Bytes of blocks of logits."""
        batch, vocabulary = self._at_once(batch), batch.cost.config.vocab_size
        block = positions_at_once(batch.tokens - 1, vocabulary)
        if self.name == STEP:
            block = min(batch.tokens, _TRAINING_LOGITS / vocabulary / batch.rows)
        if self.name == DIVERGENCE:  # a full block, and the rest that fills none
            block = min(batch.tokens, _BLOCK + (batch.tokens - 1) % _BLOCK)
        return self.logits * 4 * batch.rows * block * vocabulary / batch.model

    def _at_once(self, batch: Batched) -> Batched:
        if not self.is_backward:
            return batch
        rows = backward_rows(batch.rows, batch.tokens, batch.platform)
        return replace(batch, rows=rows)


def theta_bytes(cost: ModelCost) -> float:
    """Bytes of θ; without LoRA a copy of it in the type of the weights is made."""
    copied = cost.bytes_each if cost.lora is None and cost.bytes_each < 4 else 0
    return (4.0 + copied) * cost.num_theta


def _work(
    cost: ModelCost, tokens: int, *, derivatives: int, heads: int, primals: int = 1
) -> Work:
    """F, once or more often, `derivatives` beside it, and `heads` passes of it."""
    factor = primals + cost.tangent_factor * derivatives
    both = primals + 2 * derivatives
    cut = factor * cost.matrices(tokens) + both * cost.attention(tokens)
    return Work(
        cut + heads * cost.head(tokens),
        both * cost.adapter(tokens),
        passes=float(primals + derivatives),
        sums=2.0 * (primals + derivatives),
    )


def _forward(cost: ModelCost, tokens: int, outputs: int) -> Work:
    return _work(cost, tokens, derivatives=0, heads=0)


def _value(cost: ModelCost, tokens: int, outputs: int) -> Work:
    return _work(cost, tokens, derivatives=0, heads=1)


def _directional(cost: ModelCost, tokens: int, outputs: int) -> Work:
    primals = -(-outputs // _SIDE_BY_SIDE)
    return _work(cost, tokens, derivatives=outputs, heads=0, primals=primals)


def _probe_gradient(cost: ModelCost, tokens: int, outputs: int) -> Work:
    return _work(cost, tokens, derivatives=outputs, heads=0)


def _gradient(cost: ModelCost, tokens: int, outputs: int) -> Work:
    """A loss's gradient, or its product with one, and a step of a training.

    Every token is taken for a target. Beside the logits of a frozen head the gradient
    by the hidden states is formed; those of a trained one are formed twice.
    """
    heads = 2 if cost.lora is not None else 2 + cost.tangent_factor
    return _work(cost, tokens, derivatives=1, heads=heads)


def _divergence(cost: ModelCost, tokens: int, outputs: int) -> Work:
    """Two models' logits, and the gradient of one."""
    return _work(cost, tokens, derivatives=1, heads=4, primals=2)


def _forward_memory(batch: Batched, logits: float) -> float:
    half, d, places = _units(batch)
    f = batch.cost.config.intermediate_size / batch.model
    layer = (3 * half + 8) * f + half * d
    mixing = (4 + half) * places + 2 * half * d
    return max(_tokens(batch) * max(layer, mixing) + _stack_bytes(batch), logits)


def _tangent_memory(batch: Batched, logits: float) -> float:
    half, d, places = _units(batch)
    f = batch.cost.config.intermediate_size / batch.model
    is_looped = batch.outputs >= 2 * _SIDE_BY_SIDE
    s = _SIDE_BY_SIDE if is_looped else batch.outputs
    wide = (4 + half) * places
    layer = (4 * half + 8) * f + 4 * half * d + s * ((4 * half + 12) * f + half * d)
    mixing = wide + 2 * half * d + s * (wide + half * d)
    looped = 2 * kept_bytes(batch) if is_looped else 0
    own = _tokens(batch) * max(layer, mixing) + looped + _stack_bytes(batch)
    if batch.model > 1:
        more = (s - 1) * (len(batch.cost.config.layers) + 1) * 10 * (f + d)
        own = max(own, kept_bytes(batch) + _tokens(batch) * more + looped)
    return max(own, logits)


def _gradient_memory(batch: Batched, logits: float) -> float:
    """Gradients of the sum over the rows of a batch, one for each output."""
    sums = 4 * batch.outputs * batch.cost.num_theta
    return kept_bytes(batch) + _forward_memory(batch, logits) + sums


def _each_gradient_memory(batch: Batched, logits: float) -> float:
    """The gradients of all rows of a batch, side by side."""
    others = 4 * (batch.rows - 1) * batch.cost.num_theta
    return _gradient_memory(batch, logits) + others


def _used_gradient_memory(batch: Batched, logits: float) -> float:
    """The same, and what a gradient becomes."""
    return _each_gradient_memory(batch, logits) + 8 * batch.cost.num_theta


def _step_memory(batch: Batched, logits: float) -> float:
    """Gradient and update; θ and moments are arguments."""
    return _gradient_memory(batch, logits) + 4 * batch.cost.num_theta


def kept_bytes(batch: Batched) -> float:
    """Bytes that all layers keep for a VJP."""
    written, layers = written_bytes(batch), len(batch.cost.config.layers)
    if layers < STACKED_FROM:
        return written
    half, d, _ = _units(batch)
    config, lora = batch.cost.config, batch.cost.lora
    heads = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    divided = (heads + 2 * config.intermediate_size) / batch.model
    narrow = 0 if lora is None else 4 * len(LAYER_MATRICES) * lora.rank
    kept = half * (divided + 2 * d) + narrow
    return _tokens(batch) * layers * kept + written / layers


def written_bytes(batch: Batched) -> float:
    """Bytes that a forward pass writes."""
    half, d, places = _units(batch)
    config = batch.cost.config
    f = config.intermediate_size / batch.model
    v = 2 * config.num_kv_heads * config.head_dim / batch.model
    layer = (7 * half + 4) * f + (1.4 * half + 12) * d + half * v + (half + 4) * places
    return len(config.layers) * _tokens(batch) * layer


def _stack_bytes(batch: Batched) -> float:
    """Bytes of a scanned layer's weights."""
    cost, layers = batch.cost, len(batch.cost.config.layers)
    if layers < STACKED_FROM:
        return 0.0
    return cost.bytes_each * cost.body_matrices / batch.model / layers


def _units(batch: Batched) -> tuple[int, int, float]:
    """Bytes of an activation, d, and the places that a token looks at, in all heads."""
    config = batch.cost.config
    places = config.num_heads / batch.model * batch.tokens
    return batch.cost.bytes_each, config.hidden_size, places


def _tokens(batch: Batched) -> int:
    return batch.rows * batch.tokens


PROGRAMS = {
    program.name: program
    for program in (
        Program("embedding", _forward, _forward_memory),
        Program("loss", _value, _forward_memory, logits=2),
        Program("kernel score", _directional, _tangent_memory, directions=1),
        Program(
            "kernel direction", _probe_gradient, _gradient_memory, is_backward=True
        ),
        Program("loss product", _gradient, _tangent_memory, directions=1, logits=3),
        Program(
            "loss gradient", _gradient, _gradient_memory, logits=2, is_backward=True
        ),
        Program(
            "gradients",
            _gradient,
            _each_gradient_memory,
            directions=1,
            logits=2,
            is_backward=True,
        ),
        Program(
            "sketch",
            _gradient,
            _used_gradient_memory,
            directions=2,
            logits=2,
            is_backward=True,
        ),
        Program(
            "squared gradient",
            _gradient,
            _used_gradient_memory,
            logits=2,
            is_backward=True,
        ),
        Program(
            DIVERGENCE,
            _divergence,
            _gradient_memory,
            directions=1,
            logits=3,
            is_backward=True,
        ),
        Program(
            STEP, _gradient, _step_memory, directions=2, logits=2, is_backward=True
        ),
    )
}
