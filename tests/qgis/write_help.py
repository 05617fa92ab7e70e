"""Redraw the tables of the help pages from the algorithms: run after changing a parameter.

QT_QPA_PLATFORM=offscreen .venv/qgis/bin/python tests/qgis/write_help.py
"""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication


def write() -> None:
    """Rewrite every page, in every language."""
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    from whetstone.plugin.help import help_page, with_tables
    from whetstone.plugin.provider import ALGORITHMS
    from whetstone.plugin.translation import RESOURCES, installed_translator

    translated = sorted((RESOURCES / "i18n").glob("whetstone_*.qm"))
    for language in ("en", *(path.stem.partition("_")[2] for path in translated)):
        translator = installed_translator(language)
        for kind in ALGORITHMS:
            algorithm = kind().create()
            page = help_page(algorithm.name(), language)
            if translator is None or page.parent.name == language[:2]:
                text = with_tables(page.read_text("utf-8"), algorithm)
                page.write_text(text, encoding="utf-8")
        if translator is not None:
            QCoreApplication.removeTranslator(translator)
    application.exitQgis()


if __name__ == "__main__":
    write()
