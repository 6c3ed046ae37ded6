"""Types and shapes of arrays are checked at every call, in the modules that name them.

Others are checked by pyright alone: at run time the checks are a fifth of the suite.
"""

import pathlib

from jaxtyping import install_import_hook


ROOT = pathlib.Path(__file__).resolve().parents[1]


def modules_with_shapes() -> list[str]:
    """Every module of ntkjax that annotates an array."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "ntkjax").rglob("*.py"))
        if "jaxtyping" in path.read_text(encoding="utf-8")
    ]


def check_shapes() -> None:
    """From the next import on."""
    install_import_hook(modules_with_shapes(), "beartype.beartype")
