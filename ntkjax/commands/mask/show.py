"""Prints what `ntkjax mask` kept."""

from ntkjax.commands.mask.run import run_mask
from ntkjax.commands.mask.settings import MaskSettings


def mask(settings: MaskSettings) -> int:
    """Cuts a mask; prints how many parameters it keeps, and where it is."""
    found = run_mask(settings)
    share = found.kept / found.of
    print(f"kept: {found.kept:,} of {found.of:,} parameters ({share:.2%})")
    print(f"mask: {settings.out}")
    return 0
