"""The layout's own rules: imports point down, tests mirror sources, files are small."""

import ast
import collections
import graphlib
import pathlib
import re
import statistics
import subprocess
import sys

from docs.rooms import FILES, LAYERS, PACKAGE, ROOT, imports_of, name_of


RANK = {folder: rank for rank, row in enumerate(LAYERS) for folder in row}

# Rooms of commands that a command may enter.
GUESTS = {
    "merge": {"select"},
    "plan": {"select"},
    "doctor": {"select"},
    "demo": {"select", "train", "evaluate", "fidelity"},
}
PRIVATE = re.compile(r"jax\._src|jax\.core|jax\.pmap|allow_pickle=True|pickle\.load")
HEAVY = {"matplotlib", "transformers", "orbax", "torch"}
IMPORTS = {name_of(path): imports_of(path) for path in FILES}


def test_imports_point_down():
    wrong = [
        f"{name} imports {there}"
        for name, found in IMPORTS.items()
        for here in [name.split(".")[1]]
        for there in sorted({other.split(".")[1] for other in found} - {here})
        if RANK[there] >= RANK[here]
    ]
    assert wrong == []


def test_commands_import_few_other_commands():
    wrong = [
        f"{name} imports {other}"
        for name, found in IMPORTS.items()
        for other in sorted(found)
        if name.startswith("ntkjax.commands.") and other.count(".") >= 2
        if other.startswith("ntkjax.commands.")
        for here, there in [(name.split(".")[2], other.split(".")[2])]
        if there not in {here, *GUESTS.get(here, ())}
    ]
    assert wrong == []


def test_tests_mirror_sources():
    mirrors = [p.relative_to(PACKAGE).with_name(f"test_{p.name}") for p in FILES]
    assert [m for m in mirrors if not (ROOT / "tests" / m).exists()] == []


def test_files_are_small():
    lines = {name_of(p): len(p.read_text("utf-8").splitlines()) for p in FILES}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 150


def test_folders_are_small():
    counts = collections.Counter(path.parent.relative_to(PACKAGE) for path in FILES)
    del counts[pathlib.Path("selection/methods")]  # one file for each method
    assert {str(p): count for p, count in counts.items() if count > 15} == {}


def test_nothing_private_of_jax_and_no_pickle():
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in FILES}
    assert [name for name, text in texts.items() if PRIVATE.search(text)] == []


def test_no_import_cycles():
    graph = {name: found & set(IMPORTS) for name, found in IMPORTS.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the loop


def test_import_is_light():
    code = (
        "import sys, ntkjax; ntkjax.gram, ntkjax.directional, ntkjax.features; "
        "print(*sys.modules); import jax; "
        "assert not jax._src.xla_bridge.backends_are_initialized()"
    )
    assert not loaded_by(code) & {*HEAVY, "scipy.stats", "pyarrow"}


def test_commands_start_light():
    """Flags are read and help is shown without what draws, reads texts or saves."""
    code = (
        "import sys; from ntkjax.cli.main import COMMANDS\n"
        "for command in COMMANDS.values(): command.load()\n"
        "print(*sys.modules)"
    )
    assert not loaded_by(code) & {*HEAVY, "scipy.stats"}


def loaded_by(code: str) -> set[str]:
    """The modules that a new process has imported, which prints them."""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_commands_do_not_repeat_each_other():
    """No dozen lines, white space and imports aside, stand in two of their rooms."""
    rooms: dict[tuple[str, ...], dict[str, str]] = {}
    for path in sorted((PACKAGE / "commands").glob("*/**/*.py")):
        room = path.relative_to(PACKAGE / "commands").parts[0]
        lines = code_of(path)
        for start in range(len(lines) - 11):
            run = tuple(text for _, text in lines[start : start + 12])
            place = f"{path.relative_to(ROOT)}:{lines[start][0]}"
            rooms.setdefault(run, {}).setdefault(room, place)
    assert not [list(p.values()) for p in rooms.values() if len(p) > 1]


def code_of(path: pathlib.Path) -> list[tuple[int, str]]:
    """Numbers and texts of the lines that are neither blank nor of an import."""
    text = path.read_text(encoding="utf-8")
    imports = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and number not in imports
    ]


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
