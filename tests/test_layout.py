"""The layout's own rules: imports point down, tests mirror sources, files are small."""

import ast
import graphlib
import pathlib
import re
import subprocess
import sys

import pytest


ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "ntkjax"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if not p.name.startswith("__"))

# A file may import its own folder and anything on a line above its own line.
LAYERS = (
    ("notation", "errors"),
    ("math",),
    ("store",),
    ("devices",),
    ("data",),
    ("models",),
    ("checkpoints",),
    ("outputs",),
    ("gradients",),
    ("kernels",),
    ("passes",),
    ("training",),
    ("fidelity",),
    ("evaluation",),
    ("selection",),
    ("reports",),
    ("settings",),
    ("runs",),
    ("commands",),
    ("cli",),
)
RANK = {folder: rank for rank, row in enumerate(LAYERS) for folder in row}
PRIVATE = re.compile(r"jax\._src|jax\.core|jax\.pmap|allow_pickle=True|pickle\.load")


def folder_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write absolute imports"
            names.add(str(node.module))
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("ntkjax.")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file_obeys_the_layout(path):
    here = folder_of(path)
    for there in {name.split(".")[1] for name in imports_of(path)}:
        assert there == here or RANK[there] < RANK[here], f"{here} imports {there}"
    mirror = path.relative_to(PACKAGE).with_name(f"test_{path.name}")
    assert (ROOT / "tests" / mirror).exists(), f"no tests/{mirror}"
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not PRIVATE.search(text)


def test_no_import_cycles():
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in FILES}
    graph = {name: imports_of(path) & set(modules) for name, path in modules.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the loop


def test_import_is_light():
    code = (
        "import sys, ntkjax; ntkjax.gram, ntkjax.directional, ntkjax.features; "
        "print(*sys.modules); import jax; "
        "assert not jax._src.xla_bridge.backends_are_initialized()"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.split()}
    assert not loaded & {"matplotlib", "transformers", "orbax", "torch", "pyarrow"}


def test_every_folder_says_what_it_is_for():
    for init in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))


def test_no_file_of_the_package_is_ignored():
    """The wheel leaves out what .gitignore names, and ruff passes over it."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    anywhere = {line.rstrip("/") for line in lines if not line.startswith("/")}
    for root in (PACKAGE, ROOT / "tests"):
        parts = {part for path in root.rglob("*.py") for part in path.parts}
        assert not parts & anywhere
