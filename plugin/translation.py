"""Every text a user reads goes through :func:`tr`, under one fixed context."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtCore import QCoreApplication, QLocale, QSettings, QTranslator

CONTEXT = "Whetstone"
RESOURCES = Path(__file__).resolve().parent.parent / "resources"


def tr(text: str) -> str:
    """The text in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


def locale() -> str:
    """The language QGIS runs in, such as ``de`` or ``pt_BR``."""
    chosen = QSettings().value("locale/userLocale", "")
    return str(chosen or QLocale().name())


def installed_translator(language: str = "") -> QTranslator | None:
    """A translator for a language, the user's own unless one is named, installed.

    None when the plugin has none for it.
    """
    language = language or locale()
    for name in (language, language[:2]):
        path = RESOURCES / "i18n" / f"whetstone_{name}.qm"
        translator = QTranslator()
        if path.is_file() and translator.load(str(path)):
            QCoreApplication.installTranslator(translator)
            return translator
    return None
