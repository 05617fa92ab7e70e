"""What QGIS lists: names, help, icons, tags; and that nothing stays when the plugin goes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qgis.core import Qgis, QgsApplication, QgsProcessingAlgorithm, QgsProcessingModelAlgorithm

DEEP = {"ssdiff", "crossdiff", "adapt"}  # these need an engine
NAMES = {"classical", "assess", "compare", "check", "degrade", "enginestatus", "models", *DEEP}


@pytest.fixture
def algorithms(plugin):
    found = plugin.provider.algorithms()
    return [item for item in found if not isinstance(item, QgsProcessingModelAlgorithm)]


def test_every_algorithm_is_listed(plugin, algorithms):
    assert {item.name() for item in algorithms} == NAMES
    assert plugin.provider.id() == "whetstone"
    assert Path(plugin.provider.svgIconPath()).is_file() and not plugin.provider.icon().isNull()


def test_the_shipped_models_are_listed(plugin):
    models = [
        item
        for item in plugin.provider.algorithms()
        if isinstance(item, QgsProcessingModelAlgorithm)
    ]
    names = {item.id().partition(":")[2] for item in models}
    assert names == {"sharpen_and_assess", "adapt_sharpen_and_assess"}
    for item in models:
        assert item.group() == "Ready-made models" and item.shortHelpString()
        children = item.childAlgorithms().values()
        assert all(child.algorithm() is not None for child in children) and len(children) > 1


def test_names_groups_icons_tags(algorithms):
    titles = [item.displayName() for item in algorithms]
    assert len(set(titles)) == len(titles)
    for item in algorithms:
        assert re.fullmatch(r"[a-z]+", item.name()) and re.fullmatch(r"[a-z]+", item.groupId())
        assert item.group()
        assert Path(item.svgIconPath()).is_file() and not item.icon().isNull()
        assert {"pansharpening", "pan-sharpening", "fusion"} <= set(item.tags())
        able, text = item.canExecute()
        assert able or (item.name() in DEEP and "Options" in text)
    classical = next(item for item in algorithms if item.name() == "classical")
    assert {"Brovey", "Gram-Schmidt"} <= set(classical.tags())


def test_help_is_plain_and_complete(algorithms):
    for item in algorithms:
        text = item.shortHelpString()
        assert len(text) > 80 and "<" not in text and "&" not in text
        assert item.shortDescription() and "\n" not in item.shortDescription()
        for parameter in item.parameterDefinitions():
            assert len(parameter.help()) > 20, (item.name(), parameter.name())
            assert "<" not in parameter.help()
        for output in item.outputDefinitions():
            assert output.description()


def test_help_pages_agree_with_the_algorithms(algorithms):
    from whetstone.plugin.help import help_page, with_tables

    for item in algorithms:
        page = help_page(item.name()).read_text(encoding="utf-8")
        assert item.helpUrl().endswith(f"resources/help/{item.name()}.html")
        assert page == with_tables(page, item), f"run tests/qgis/write_help.py for {item.name()}"
        assert "processing.run(" in page and "qgis_process run" in page and "References" in page
        for icon in re.findall(r'src="([^"]+)"', page):
            assert (help_page(item.name()).parent / icon).is_file()


def test_instances_are_fresh_and_threads_allowed(algorithms):
    for item in algorithms:
        first, second = item.create(), item.create()
        assert first is not second and first.name() == item.name()
        assert not item.flags() & QgsProcessingAlgorithm.Flag.FlagNoThreading
        assert item.flags() & QgsProcessingAlgorithm.Flag.FlagCanCancel


def test_parameters_can_be_written_and_read(algorithms):
    for item in algorithms:
        for parameter in item.parameterDefinitions():
            copy = type(parameter)(parameter.name())
            copy.fromVariantMap(parameter.toVariantMap())
            assert copy.toVariantMap() == parameter.toVariantMap()
            assert parameter.name() in parameter.asPythonString()


def test_every_figure_is_an_output(algorithms):
    from whetstone.engine.answers import FIGURES
    from whetstone.plugin.figures import figures

    assert set(figures()) == set(FIGURES)
    wanted = {key.upper() for key in FIGURES}
    for item in algorithms:
        if item.name() in ("classical", "assess", "compare"):
            assert wanted <= {output.name() for output in item.outputDefinitions()}


def test_raster_options_widget_fits_this_qgis(algorithms):
    classical = next(item for item in algorithms if item.name() == "classical")
    widget = classical.parameterDefinition("OPTIONS").metadata()["widget_wrapper"]
    if Qgis.QGIS_VERSION_INT >= 34000:
        assert widget == {"widget_type": "rasteroptions"}
    else:
        module, name = widget["class"].rsplit(".", 1)
        assert hasattr(__import__(module, fromlist=[name]), name)


def test_enable_disable_enable_leaves_nothing(plugin):
    from whetstone.plugin.main import WhetstonePlugin

    registry = QgsApplication.processingRegistry()
    plugin.unload()
    before = {provider.id() for provider in registry.providers()}
    assert "whetstone" not in before
    for _ in range(2):
        again = WhetstonePlugin(None)
        again.initGui()
        again.initProcessing()  # QGIS may ask for both
        count = len(registry.providerById("whetstone").algorithms())
        assert count == len(NAMES) + 2
        again.unload()
        again.unload()
        assert {provider.id() for provider in registry.providers()} == before
        assert registry.algorithmById("whetstone:classical") is None
    plugin.initProcessing()
    assert registry.algorithmById("whetstone:classical") is not None


def test_refreshing_keeps_the_models(plugin):
    plugin.provider.refreshAlgorithms()
    assert "whetstone:sharpen_and_assess" in {item.id() for item in plugin.provider.algorithms()}
