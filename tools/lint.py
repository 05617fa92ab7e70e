"""All static checks: style, types, oldest Python, and what would break on Qt 6. `make lint`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ("__init__.py", "plugin")
OLDEST_PYTHON = "3.9"
QT_CLASS = re.compile(r"(Qgis|Qgs[A-Z]\w*|Qt|Q[A-Z]\w*)$")
#: Nested classes that are named without a member, as in a call or an annotation.
SCOPE = re.compile(
    r"\w*(Flags?|Types?|Level|Mode|Role|Policy|Options?|Property|Interpretation|Algorithm)$"
)
OLD_CALLS = {"exec_", "print_"}
OLD_NAMES = {"QRegExp", "QDesktopWidget", "QTextCodec", "QStringRef", "QMatrix"}


def plugin_files() -> Iterator[Path]:
    """Every Python file that runs inside QGIS on Qt."""
    for name in PLUGIN:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def qt_problems(source: str) -> list[tuple[int, str]]:
    """Lines that work with Qt 5 only.

    Enum members must be written with their enum (``Qt.AlignmentFlag.AlignLeft``): both Qt 5 and
    Qt 6 know that name. A member is taken for one when it stands directly on a Qt or QGIS class,
    is written in CamelCase and is neither called nor looked into.
    """
    tree = ast.parse(source)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    inner |= {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            text = _import_problem(node.module or "") or _name_problem(node)
        elif isinstance(node, ast.Import):
            text = next(filter(None, (_import_problem(item.name) for item in node.names)), None)
        elif isinstance(node, ast.Attribute) and node.attr in OLD_CALLS:
            text = f"{node.attr}() is gone; write {node.attr[:-1]}()"
        elif isinstance(node, ast.Attribute) and id(node) not in inner:
            text = _enum_problem(node)
        if text:
            found.append((node.lineno, text))
    return sorted(found)


def _import_problem(module: str) -> str | None:
    top = module.split(".")[0]
    if top in ("PyQt5", "PyQt6", "PySide2", "PySide6", "sip"):
        return f"import from qgis.PyQt, not from {top}"
    return None


def _name_problem(node: ast.ImportFrom) -> str | None:
    gone = sorted(OLD_NAMES & {item.name for item in node.names})
    return f"{', '.join(gone)} is not in Qt 6" if gone else None


def _enum_problem(node: ast.Attribute) -> str | None:
    base = node.value
    owner = base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
    if owner == "self" and re.match(r"Flag[A-Z]", node.attr):
        return f"self.{node.attr} is an enum member without its enum"
    if not QT_CLASS.match(owner) or SCOPE.match(node.attr):
        return None
    if owner != "Qt" and not re.match(r"[A-Z]\w*[a-z]", node.attr):
        return None  # methods, and constants such as QgsProcessing.TEMPORARY_OUTPUT
    return f"{owner}.{node.attr} is an enum member without its enum"


def check_qt() -> int:
    """Print what would break on Qt 6; return 1 when there is something."""
    status = 0
    for path in plugin_files():
        for line, text in qt_problems(path.read_text(encoding="utf-8")):
            print(f"{path.relative_to(ROOT)}:{line}: {text}")
            status = 1
    return status


def main() -> int:
    """Run every check, then say which failed."""
    engine = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "engine").rglob("*.py"))]
    plugin = [str(path.relative_to(ROOT)) for path in plugin_files()]
    light = [name for name in engine if not name.startswith("engine/deep/")] + plugin
    oldest = ["--no-tips", f"-t={OLDEST_PYTHON}-", "--violations", "--no-parse-comments"]
    tools = Path(sys.executable).parent
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "mypy": ["mypy"],
        f"Python {OLDEST_PYTHON} (vermin)": ["vermin", *oldest, *light],
    }
    failed = []
    for name, words in checks.items():
        print(f"lint: {name}", flush=True)
        if subprocess.run([tools / words[0], *words[1:]], cwd=ROOT).returncode:
            failed.append(name)
    print("lint: Qt 6", flush=True)
    if check_qt():
        failed.append("Qt 6")
    print(f"lint: failed: {', '.join(failed)}" if failed else "lint: clean")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
