"""Options of the methods of selection, and the checks that need no file."""

from dataclasses import dataclass, field

from ntkjax.errors import InputError, setting
from ntkjax.math.sketches import SKETCHES
from ntkjax.rules import COUNT, SHARE, Rule, check, one_of


LESS_GRADIENTS = ("adam", "sgd", "sign")
CONFIDENCES = ("max_prob", "uniform", "entropy_inv")
CURVATURES = ("adam", "fisher")
ORDERS = ("one-shot", "data-first", "parameters-first")
GRANULARITIES = ("element", "row", "matrix", "module", "kind", "layer")
SIGNS = ("signed", "absolute")


@dataclass(frozen=True)
class SketchOptions:
    """Short vectors in place of gradients, for less, and for facility location.

    Attributes:
        size: Numbers k of each.
        kind: shift (cheap) or rademacher (dense signs, as LESS has it).
    """

    size: int = 8192
    kind: str = "shift"


@dataclass(frozen=True)
class LessOptions:
    """LESS (arXiv 2402.04333); the defaults are those of its code.

    Attributes:
        gradient: What stands for a candidate: adam (its Adam update), sgd (its
            gradient) or sign (the sign of its gradient).
        epsilon_inside_root: Γ = m/√(s + ε) and not m/(√s + ε).
        bias_correction: Whether moments are divided by 1 − β^t, as Adam does.
    """

    gradient: str = "adam"
    epsilon_inside_root: bool = True
    bias_correction: bool = False


@dataclass(frozen=True)
class FisherOptions:
    """The diagonal of the empirical Fisher matrix.

    Attributes:
        examples: Pool examples that it is averaged over, drawn at random.
        damping: Added to it, in units of its mean.
    """

    examples: int = 256
    damping: float = 0.1


@dataclass(frozen=True)
class DsirOptions:
    """DSIR (arXiv 2302.03169).

    Attributes:
        buckets: Hash buckets of words and pairs of words.
        sample: Draw without replacement in proportion to the weights (Gumbel noise on
            their logarithms), or take the highest.
    """

    buckets: int = 10_000
    sample: bool = True


@dataclass(frozen=True)
class MaskOptions:
    """Which parameters a mask keeps.

    Attributes:
        share: Share of all parameters.
        budget: Number of parameters, in place of a share.
        granularity: What is kept or left as a whole: element, row, matrix, module (A
            and B of one adapted matrix), kind (the modules of the same name in all
            layers) or layer.
        sign: signed (the highest scores) or absolute (the highest absolute ones).
        layer_quota: Share of the budget that is reserved in equal parts for layers;
            with the granularity element only, as is the next.
        module_quota: The same for kinds of modules: q, k, v, o, gate, up, down, and
            other (embeddings, norms, head) where they are trained.
        reverse: Keep the lowest scores instead, as a control.
    """

    share: float | None = None
    budget: int | None = None
    granularity: str = "element"
    sign: str = "absolute"
    layer_quota: float = 0.0
    module_quota: float = 0.0
    reverse: bool = False


@dataclass(frozen=True)
class DualsftOptions:
    """DualSFT (arXiv 2605.06166).

    Attributes:
        lambda_new: Weight of the validation gradient.
        lambda_prior: Weight of the gradient of the divergence from the base model.
        temperature: Of both distributions in the divergence.
        confidence: Weight of an anchor example: max_prob (the base model's mean
            highest probability), uniform, or entropy_inv (one minus its mean relative
            entropy).
        anchors: Pool examples for the divergence, drawn at random.
        curvature: adam (second moment of the warm-up) or fisher (empirical diagonal).
        kappa: κ in û = v − κ c⊙Ḡ; 0 for first order.
        order: one-shot, data-first (mask for the chosen examples) or
            parameters-first (examples for the chosen mask).
        rounds: Alternations of both after that.
    """

    lambda_new: float = 1.0
    lambda_prior: float = 0.2
    temperature: float = 2.0
    confidence: str = "max_prob"
    anchors: int = 256
    curvature: str = "adam"
    kappa: float = 1.0
    order: str = "one-shot"
    rounds: int = 0


@dataclass(frozen=True)
class MethodOptions:
    """Options of all methods.

    Attributes:
        kernel: Of ntk.
        embedding: Pooling of embeddings, for embedding and vote.
        neighbors: K of the vote; None for the budget.
        sketch: For gradients.
        less: Of less.
        fisher: Of fisher, and of dualsft's curvature.
        dsir: Of dsir.
        dualsft: Of dualsft.
        mask: Of dualsft.
    """

    kernel: str = "summed"
    embedding: str = "all"
    neighbors: int | None = None
    sketch: SketchOptions = field(default_factory=SketchOptions)
    less: LessOptions = field(default_factory=LessOptions)
    fisher: FisherOptions = field(default_factory=FisherOptions)
    dsir: DsirOptions = field(default_factory=DsirOptions)
    dualsft: DualsftOptions = field(default_factory=DualsftOptions)
    mask: MaskOptions = field(default_factory=MaskOptions)


_WEIGHT = Rule(lambda value: 0 <= value <= 1e30, "a finite number, at least 0")
_SIZE = Rule(lambda value: 1 <= value <= 2**31, COUNT.expected)
_RULES = {
    "sketch": {"size": _SIZE, "kind": one_of(SKETCHES)},
    "less": {"gradient": one_of(LESS_GRADIENTS)},
    "fisher": {"examples": _SIZE, "damping": _WEIGHT},
    "dsir": {"buckets": _SIZE},
    "dualsft": {
        "lambda_new": _WEIGHT,
        "lambda_prior": _WEIGHT,
        "temperature": Rule(lambda value: 1e-3 <= value <= 1e3, "0.001 to 1000"),
        "confidence": one_of(CONFIDENCES),
        "anchors": _SIZE,
        "curvature": one_of(CURVATURES),
        "kappa": _WEIGHT,
        "order": one_of(ORDERS),
        "rounds": Rule(lambda value: 0 <= value <= 1000, "0 to 1000"),
    },
}
_MASK_RULES = {
    "share": SHARE,
    "budget": COUNT,
    "granularity": one_of(GRANULARITIES),
    "sign": one_of(SIGNS),
}


def check_method_options(options: MethodOptions) -> None:
    """Raises `InputError` for a value that no run can have."""
    for group, rules in _RULES.items():
        check(getattr(options, group), rules, f"{group}.")
    check_mask_options(options.mask)


def check_mask_options(mask: MaskOptions) -> None:
    """Raises `InputError` for a mask that cannot be."""
    if mask.share is not None and mask.budget is not None:
        raise InputError(
            f"{setting('mask.share')} and {setting('mask.budget')}: give one of them."
        )
    check(mask, _MASK_RULES, "mask.")
    quotas = mask.layer_quota, mask.module_quota
    if min(quotas) < 0 or not sum(quotas) <= 1:
        raise InputError(
            f"{setting('mask.layer_quota')} {quotas[0]} and "
            f"{setting('mask.module_quota')} {quotas[1]}: expected shares of the "
            "budget, together at most 1."
        )
    if any(quotas) and mask.granularity != "element":
        kind = "layer" if mask.layer_quota else "module"
        raise InputError(
            f"expected {setting('mask.granularity')} element, not {mask.granularity}.",
            field=f"mask.{kind}_quota",
        )
