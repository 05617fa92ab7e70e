"""The German translation: complete, compiled, shown, and gone with the plugin."""

from __future__ import annotations

import importlib.util
import re
import string
from collections import Counter
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProcessingModelAlgorithm
from qgis.PyQt.QtCore import QCoreApplication, QSettings

ROOT = Path(__file__).resolve().parents[2]
TS = ROOT / "resources/i18n/whetstone_de.ts"


def _tool():
    spec = importlib.util.spec_from_file_location("translations", ROOT / "tools/translations.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


translations = _tool()


@pytest.fixture
def german(plugin):
    """The plugin, begun anew by a user whose QGIS speaks German."""
    settings = QSettings()
    before = settings.value("locale/userLocale")
    plugin.unload()
    settings.setValue("locale/userLocale", "de_AT")
    plugin.initProcessing()
    yield plugin
    plugin.unload()
    if before is None:
        settings.remove("locale/userLocale")
    else:
        settings.setValue("locale/userLocale", before)
    plugin.initProcessing()


def _algorithms(plugin):
    found = plugin.provider.algorithms()
    return [item for item in found if not isinstance(item, QgsProcessingModelAlgorithm)]


def test_every_text_is_translated():
    messages = translations.read_ts(TS)
    assert list(messages) == translations.texts(), "run make translations"
    assert not [source for source, text in messages.items() if not text.strip()]


def _fields(text: str) -> Counter:
    """The placeholders of a text, with what they say of the format."""
    return Counter(
        (name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None
    )


def test_placeholders_survive():
    for source, text in translations.read_ts(TS).items():
        assert _fields(source) == _fields(text), (source, text)


def test_the_file_is_as_the_tool_writes_it():
    assert TS.read_text("utf-8") == translations.ts_text("de", translations.read_ts(TS))


def test_what_is_loaded_was_compiled_from_it():
    program = translations.lrelease()
    if program is None:
        pytest.skip("lrelease is not installed")
    assert TS.with_suffix(".qm").read_bytes() == translations.compiled(TS, program)


def test_texts_that_cannot_be_collected_are_refused(tmp_path):
    source = tmp_path / "plugin/page.py"
    source.parent.mkdir()

    def collected(text: str) -> list[str]:
        source.write_text(text, encoding="utf-8")
        return translations.texts(tmp_path)

    kept = 'def f(self):\n    return tr("one " "text"), tr(self.title), tr(self.section[1])\n'
    assert collected(kept) == ["one text"]
    assert collected('TITLE = QT_TRANSLATE_NOOP("Whetstone", "A title")\n') == ["A title"]
    for bad in ('tr(f"{x} files")', 'tr("a" + x)', "tr(x)", 'QT_TRANSLATE_NOOP(x, "a")'):
        with pytest.raises(translations.NotLiteral, match=r"page\.py:2"):
            collected(f"def f(x):\n    return {bad}\n")
    with pytest.raises(translations.TooEarly, match=r"page\.py:1"):
        collected('TITLE = tr("A title")\n')


def test_translations_that_stay_and_go(tmp_path):
    path = tmp_path / "whetstone_de.ts"
    messages = {"A & B < C": "Ä & „B“ < C", "new": ""}
    path.write_text(translations.ts_text("de", messages), encoding="utf-8")
    assert translations.read_ts(path) == messages
    assert path.read_text("utf-8").count('type="unfinished"') == 1
    assert translations.read_ts(tmp_path / "none.ts") == {}


def test_algorithms_speak_german(german):
    found = {item.name(): item for item in _algorithms(german)}
    classical = found["classical"]
    assert classical.displayName() == "Pansharpening (klassische Methoden)"
    assert classical.group() == "Fusion" and found["check"].group() == "Vorbereitung"
    assert classical.groupId() == "fusion"  # frozen, whatever the language
    pan = classical.parameterDefinition("PAN")
    assert pan.description() == "Panchromatisches Bild (PAN)"
    assert pan.help().startswith("Das scharfe Bild")
    assert classical.outputDefinition("RATIO").description().startswith("Verhältnis")
    assert classical.shortHelpString().startswith("Fusioniert ein scharfes")
    assert classical.helpUrl().endswith("resources/help/de/classical.html")
    assert german.provider.longName() == "Whetstone-Pansharpening"


def test_german_pages_agree_with_the_algorithms(german):
    from whetstone.plugin.help import help_page, with_tables

    for item in _algorithms(german):
        path = help_page(item.name())
        page = path.read_text(encoding="utf-8")
        assert path.parent.name == "de" and '<html lang="de">' in page
        assert f"{item.displayName()}</h1>" in page
        assert page == with_tables(page, item), f"run tests/qgis/write_help.py for {item.name()}"
        assert len(item.shortHelpString()) > 80 and "<" not in item.shortHelpString()


def test_nothing_is_left_of_it(german):
    assert QCoreApplication.translate("Whetstone", "Sensor") == "Sensor"
    assert QCoreApplication.translate("Whetstone", "Seed") == "Startwert"
    german.unload()
    assert german.translator is None
    assert QCoreApplication.translate("Whetstone", "Seed") == "Seed"
    assert QgsApplication.processingRegistry().providerById("whetstone") is None


def test_languages_without_translation_stay_english(plugin):
    from whetstone.plugin.help import help_page
    from whetstone.plugin.translation import installed_translator

    assert installed_translator("tlh") is None
    assert help_page("classical", "tlh") == help_page("classical", "en")


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_leads_to_every_other(plugin, language):
    from whetstone.plugin.help import help_page

    pages = [help_page(item.name(), language) for item in _algorithms(plugin)]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        menu = re.search(r"<nav>(.*?)</nav>", text, re.S)[1]
        assert set(re.findall(r'href="([^"]+)"', menu)) == {page.name for page in pages}
        for link in re.findall(r'(?:src|href)="([^"#:]+)"', text):
            assert (path.parent / link).is_file(), (path, link)
