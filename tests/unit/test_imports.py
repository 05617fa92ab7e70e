"""Who may import whom, read from the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QGIS = {"qgis", "PyQt5", "PyQt6"}
ROOMS = {"whetstone", "engine", "plugin", "training", "tests", "tools"}
BANNED_NAMES = {"utils", "common", "helpers", "misc"}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def tops(path: Path) -> set[str]:
    """The packages that a file imports absolutely, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {item.name.split(".")[0] for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative_imports(path: Path, everything: set[str], deferred: bool) -> set[str]:
    """Modules of this repository that a file imports relatively.

    Without ``deferred`` only what runs when the module is loaded, so neither in a function nor for
    the type checker alone.
    """
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    found = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            late = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            if late and not deferred:
                continue
            if isinstance(child, ast.ImportFrom) and child.level:
                base = package[: len(package) - child.level + 1]
                if child.module:
                    base = [*base, *child.module.split(".")]
                for item in child.names:
                    full = ".".join([*base, item.name])
                    found.add(full if full in everything else ".".join(base))
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def modules(*folders: str) -> dict[str, Path]:
    return {module_name(path): path for folder in folders for path in python_files(folder)}


@pytest.mark.parametrize("path", python_files("engine"), ids=module_name)
def test_engine_knows_neither_qgis_nor_the_other_rooms(path):
    forbidden = QGIS | ROOMS
    if "deep" not in path.parts:
        forbidden = forbidden | {"torch"}
    assert not tops(path) & forbidden
    everything = set(modules("engine"))
    outside = {name for name in relative_imports(path, everything, True) if name[:6] != "engine"}
    assert not outside, "the engine imports from itself only"


@pytest.mark.parametrize("path", python_files("plugin"), ids=module_name)
def test_plugin_keeps_torch_and_rasterio_out_of_qgis(path):
    assert not tops(path) & ({"torch", "rasterio"} | ROOMS)
    names = relative_imports(path, set(modules("engine", "plugin")), True)
    assert not [name for name in names if name.startswith(("engine.deep", "training"))]


@pytest.mark.parametrize("path", python_files("training"), ids=module_name)
def test_training_uses_the_engine_alone(path):
    beside = {other.stem for other in python_files("training")}
    assert not tops(path) & (QGIS | (ROOMS - {"whetstone"}))
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 0]
    assert not [n for n in names if n.startswith("whetstone") and n[:16] != "whetstone.engine"]
    assert not beside & {"torch", "numpy", "h5py"}, "a script would hide a library"


def test_raster_libraries_stay_in_their_room():
    users = [
        module_name(path)
        for path in python_files("engine")
        if tops(path) & {"osgeo", "rasterio"} and not module_name(path).startswith("engine.raster")
    ]
    assert not users


@pytest.mark.parametrize("folder", ["engine", "plugin"])
def test_no_import_goes_in_a_circle(folder):
    known = modules(folder)
    graph = {
        name: {other for other in relative_imports(path, set(known), False) if other in known}
        for name, path in known.items()
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                walk(other, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_files_are_named_by_their_concept():
    named = {path.stem for folder in ("engine", "plugin") for path in python_files(folder)}
    assert not named & BANNED_NAMES
    assert not [name for name in named if name.startswith("base_")]


@pytest.mark.parametrize("module", ["whetstone", "whetstone.engine", "whetstone.engine.cli"])
def test_importing_costs_nothing_heavy(module):
    code = (
        "import importlib, sys; "
        f"importlib.import_module({module!r}); "
        "heavy = {'numpy', 'rasterio', 'osgeo', 'jinja2', 'torch', 'tqdm', 'qgis', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    load = (
        "import importlib.util as u, sys\n"
        f"s = u.spec_from_file_location('whetstone', {str(ROOT / '__init__.py')!r}, "
        f"submodule_search_locations=[{str(ROOT)!r}])\n"
        "m = sys.modules['whetstone'] = u.module_from_spec(s); s.loader.exec_module(m)\n"
    )
    done = subprocess.run([sys.executable, "-c", load + code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("path", python_files("plugin"), ids=module_name)
def test_plugin_leaves_qgis_as_it_is(path):
    """Neither its module search path nor its environment is changed, and pip never runs in it."""
    changed = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value]
            if node.func.attr in ("get", "items", "copy"):
                continue
        elif not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
            continue
        changed += [ast.unparse(each) for each in targets if each is not None]
    assert not [each for each in changed if re.match(r"(os\.environ|sys\.path)\b", each)]
    assert not tops(path) & {"pip", "ensurepip"}
