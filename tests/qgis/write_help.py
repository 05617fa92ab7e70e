"""Redraw the tables of the help pages from the algorithms: run after changing a parameter.

QT_QPA_PLATFORM=offscreen .venv/qgis/bin/python tests/qgis/write_help.py
"""

from __future__ import annotations

from qgis.core import QgsApplication


def write() -> None:
    """Rewrite every page."""
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    from whetstone.plugin.help import help_page, with_tables
    from whetstone.plugin.provider import ALGORITHMS

    for kind in ALGORITHMS:
        algorithm = kind().create()
        page = help_page(algorithm.name())
        page.write_text(with_tables(page.read_text("utf-8"), algorithm), encoding="utf-8")
    application.exitQgis()


if __name__ == "__main__":
    write()
