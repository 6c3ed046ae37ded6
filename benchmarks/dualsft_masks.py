"""Does it matter which parameters DualSFT's mask keeps? On real text, one task.

    uv run python -m benchmarks.dualsft_masks

The task, examples and fine-tuning of `benchmarks.dualsft`; every arm has the examples
that DualSFT chose, and 10% of the adapter's parameters, but for one with all. Random
masks are drawn from all parameters (`random`) and three times from B alone: a fresh
adapter has B = 0, so that what a mask keeps of A moves nothing until B has moved, and
nearly all that DualSFT keeps is in B. Read `change` of the validation loss as there.
"""

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.dualsft import measure
from benchmarks.dualsft_arms import Arm, Training
from benchmarks.dualsft_choices import IN_B, Amounts
from benchmarks.real_methods import financial_task, task_settings
from benchmarks.records import RESULTS, NotMeasured, commit, record, shared_folder
from ntkjax.devices.mesh import one_cpu_device_per_core
from ntkjax.store.atomic import write_json


ARMS = tuple(
    Arm("dualsft", mask) for mask in ("dualsft", "signed", "random", *IN_B, None)
)


def main() -> int:
    try:
        shared = shared_folder()
    except NotMeasured as absent:
        print(f"benchmarks.dualsft_masks: {absent}", file=sys.stderr)
        return 2
    one_cpu_device_per_core()
    made_by, started = commit(), time.perf_counter()
    amounts, training = Amounts(), Training()
    with tempfile.TemporaryDirectory() as folder:
        task = financial_task(shared, Path(folder))
        findings = measure(task, amounts, training, Path(folder), ARMS)
    settings = {
        **task_settings(),
        "budget": amounts.budget,
        "mask_share": amounts.share,
        "warmup": {"examples": amounts.warmup_examples, **vars(amounts.warmup)},
        "training": vars(training.settings),
    }
    seconds = time.perf_counter() - started
    result = record("dualsft_masks", settings, seconds, findings, made_by)
    write_json(RESULTS / "dualsft_masks.json", result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
