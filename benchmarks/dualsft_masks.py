"""Does it matter which parameters DualSFT's mask keeps? On real text, one task.

    uv run python -m benchmarks.dualsft_masks

The task, examples and fine-tuning of `benchmarks.dualsft`; every arm has the examples
that DualSFT chose, and 10% of the adapter's parameters, but for one with all. Random
masks are drawn from all parameters (`random`) and three times from B alone: a fresh
adapter has B = 0, so that what a mask keeps of A moves nothing until B has moved, and
nearly all that DualSFT keeps is in B. Read `change` of the validation loss as there.
"""

from benchmarks.dualsft import main
from benchmarks.dualsft_arms import Arm
from benchmarks.dualsft_choices import IN_B


ARMS = tuple(
    Arm("dualsft", mask) for mask in ("dualsft", "signed", "random", *IN_B, None)
)


if __name__ == "__main__":
    raise SystemExit(main("dualsft_masks", ARMS))
