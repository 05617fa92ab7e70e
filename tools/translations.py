"""Collect the plugin's texts into resources/i18n/whetstone_*.ts and compile these to .qm.

Run by `make translations`, after texts were added or changed: it keeps what is translated, drops
what has gone, and says what is left to translate (in the .ts, by hand or in Qt Linguist). Both
files are committed, because the plugin's zip is made of committed files only.

pylupdate cannot do this: it takes the context from the class around a call, and ours is one fixed
context, given by the function ``plugin.translation.tr``.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Iterator
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "resources" / "i18n"
CONTEXT = "Whetstone"
#: Where Debian and Ubuntu have it, before what may be a wrapper that finds no Qt.
LRELEASE = "/usr/lib/qt5/bin/lrelease"
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'


class NotLiteral(Exception):
    """A text that cannot be collected; says in which file and line."""


class TooEarly(Exception):
    """A text that would stay English; says in which file and line."""


def texts(root: Path = ROOT) -> list[str]:
    """Every text of the plugin that a user reads, sorted."""
    found: set[str] = set()
    for path in sorted((root / "plugin").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, argument in _arguments(tree):
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value)
            elif not _is_attribute(argument):
                raise NotLiteral(
                    f"{path.relative_to(root)}:{line}: {ast.unparse(argument)} is not a literal"
                )
        for line in _too_early(tree):
            raise TooEarly(
                f"{path.relative_to(root)}:{line}: tr() runs on import, before the language is "
                f"known; mark the text by QT_TRANSLATE_NOOP and translate it when it is shown"
            )
    return sorted(found - {""})


def _arguments(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """(line, text) of every call of ``tr`` and ``QT_TRANSLATE_NOOP``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "tr":
            yield node.lineno, node.args[0]
        elif node.func.id == "QT_TRANSLATE_NOOP":
            context, text = node.args
            if getattr(context, "value", None) != CONTEXT:
                yield node.lineno, context  # no literal of ours: refused
            yield node.lineno, text


def _too_early(tree: ast.AST) -> Iterator[int]:
    """The lines of calls of ``tr`` outside every function."""
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in inside or not isinstance(node, ast.Call):
            continue
        if getattr(node.func, "id", "") == "tr":
            yield node.lineno


def _is_attribute(argument: ast.expr) -> bool:
    """``self.title``, ``self.section[1]``, ``error.message``: marked where they are written."""
    if isinstance(argument, ast.Subscript):
        argument = argument.value
    return isinstance(argument, ast.Attribute)


def read_ts(path: Path) -> dict[str, str]:
    """Source text -> translation, "" where there is none yet."""
    if not path.is_file():
        return {}
    tree = ElementTree.parse(path)
    return {
        message.findtext("source", ""): message.findtext("translation", "")
        for message in tree.iter("message")
    }


def ts_text(language: str, messages: dict[str, str]) -> str:
    """The file as Qt Linguist reads it; without file names and lines, which change too often."""
    lines = [f'<TS version="2.1" language="{language}" sourcelanguage="en">', "<context>"]
    lines.append(f"    <name>{CONTEXT}</name>")
    for source, translation in sorted(messages.items()):
        mark = "" if translation else ' type="unfinished"'
        lines += [
            "    <message>",
            f"        <source>{escape(source, quote=False)}</source>",
            f"        <translation{mark}>{escape(translation, quote=False)}</translation>",
            "    </message>",
        ]
    return _HEAD + "\n".join([*lines, "</context>", "</TS>", ""])


def lrelease() -> str | None:
    """Qt's compiler of translations, if it is installed."""
    return LRELEASE if Path(LRELEASE).is_file() else shutil.which("lrelease")


def compiled(ts: Path, program: str) -> bytes:
    """The .qm of a .ts."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "texts.qm"
        words = [program, "-silent", str(ts), "-qm", str(target)]
        subprocess.run(words, check=True)
        return target.read_bytes()


def main() -> int:
    """Bring every language up to date; 1 when something is left to translate."""
    try:
        wanted = texts()
    except (NotLiteral, TooEarly) as error:
        print(f"translations: {error}", file=sys.stderr)
        return 1
    program = lrelease()
    if program is None:
        print("translations: lrelease is missing: install qttools5-dev-tools", file=sys.stderr)
        return 1
    status = 0
    for path in sorted(FOLDER.glob("whetstone_*.ts")):
        have = read_ts(path)
        messages = {source: have.get(source, "") for source in wanted}
        path.write_text(ts_text(path.stem.partition("_")[2], messages), encoding="utf-8")
        path.with_suffix(".qm").write_bytes(compiled(path, program))
        left = [source for source, translation in messages.items() if not translation]
        gone = len(set(have) - set(messages))
        counts = f"{len(messages)} texts, {len(left)} to do, {gone} dropped"
        print(f"translations: {path.name}: {counts}")
        for source in left:
            print(f"    {source}")
        status = status or bool(left)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
