"""The help pages in ``resources/help``: where they are, and the few plain lines drawn from them.

A page is written by hand except its two tables, which :func:`with_tables` draws from the algorithm
itself, in the language that is installed. A test holds the pages to it;
``tests/qgis/write_help.py`` rewrites them.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from .translation import RESOURCES, locale, tr

_SUMMARY = re.compile(r'<section id="summary">(.*?)</section>', re.S)
_TABLE = r"(<!-- {0} -->).*?(<!-- end {0} -->)"


def help_page(key: str, language: str = "") -> Path:
    """The page of an algorithm, in a language (the user's) where there is one, else in English."""
    folder = RESOURCES / "help"
    translated = folder / (language or locale())[:2] / f"{key}.html"
    return translated if translated.is_file() else folder / f"{key}.html"


def short_help(key: str) -> str:
    """The page's summary as plain text: ``qgis_process help`` prints markup raw."""
    match = _SUMMARY.search(help_page(key).read_text(encoding="utf-8"))
    paragraphs = re.findall(r"<p>(.*?)</p>", match.group(1), re.S) if match else []
    plain = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).strip() for text in paragraphs]
    return "\n\n".join(html.unescape(text) for text in plain)


def with_tables(page: str, algorithm) -> str:
    """The page with the tables of parameters and outputs drawn anew."""
    parameters = [
        (item.name(), item.description(), item.help(), _kind(item))
        for item in algorithm.parameterDefinitions()
    ]
    outputs = [(item.name(), item.description(), "", "") for item in algorithm.outputDefinitions()]
    for name, rows in (("parameters", parameters), ("outputs", outputs)):
        table = "\n".join(["<table>", *map(_row, rows), "</table>"])
        pattern = re.compile(_TABLE.format(name), re.S)
        page = pattern.sub(lambda found, t=table: f"{found[1]}\n{t}\n{found[2]}", page)
    return page


def _kind(parameter) -> str:
    """The choices of an enumeration, unless its help names them all."""
    if parameter.metadata().get("varies"):
        return ""
    options = getattr(parameter, "options", list)()
    if all(option in parameter.help() for option in options):
        return ""
    return tr("One of: {}.").format(", ".join(options))


def _row(row: tuple[str, str, str, str]) -> str:
    name, label, text, kind = map(html.escape, row)
    more = " ".join(part for part in (text, kind) if part)
    more = f"<br>{more}" if more else ""
    return f"<tr><td><code>{name}</code></td><td><b>{label}</b>{more}</td></tr>"
