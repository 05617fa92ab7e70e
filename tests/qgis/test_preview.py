"""The preview: which part it fuses, which pair it guesses; and what a run says meanwhile."""

from __future__ import annotations

import pytest
from qgis.core import QgsProcessingContext, QgsRectangle
from whetstone.engine import WhetstoneError


class Canvas:
    """As much of a map canvas as a preview asks for."""

    def __init__(self, extent, crs):
        self._extent, self._crs = extent, crs

    def extent(self):
        return self._extent

    def mapSettings(self):  # noqa: N802
        return self

    def destinationCrs(self):  # noqa: N802
        return self._crs


@pytest.fixture
def pan(layer, scene):
    return layer(scene.pan, "PAN")


@pytest.fixture
def ms(layer, scene):
    return layer(scene.ms, "MS")


@pytest.fixture
def shows(monkeypatch):
    """Let the map show an extent."""
    from types import SimpleNamespace

    from whetstone.plugin import preview

    def show(extent, crs):
        iface = SimpleNamespace(mapCanvas=lambda: Canvas(extent, crs))
        monkeypatch.setattr(preview.utils, "iface", iface)

    return show


def test_without_a_map_the_middle(pan, monkeypatch):
    from whetstone.plugin import preview

    monkeypatch.setattr(preview.utils, "iface", None)
    monkeypatch.setattr(preview, "SIDE", 64)
    x, y = pan.extent().center().x(), pan.extent().center().y()
    assert preview.preview_bounds(pan, None) == (x - 32, y - 32, x + 32, y + 32)


def test_what_the_map_shows(pan, shows, scene):
    from whetstone.plugin.preview import preview_bounds

    x, y = scene.origin
    shows(QgsRectangle(x + 10, y - 50, x + 40, y - 20), pan.crs())
    assert preview_bounds(pan, None) == (x + 10, y - 50, x + 40, y - 20)
    given = (x + 100, y - 160, x + 140, y - 120)
    assert preview_bounds(pan, given) == given  # an extent goes before the map


def test_the_map_may_have_another_crs(pan, shows):
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsProject
    from whetstone.plugin.preview import preview_bounds

    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    change = QgsCoordinateTransform(pan.crs(), degrees, QgsProject.instance())
    inner = pan.extent()
    inner.scale(0.5)
    shows(change.transformBoundingBox(inner), degrees)
    found = QgsRectangle(*preview_bounds(pan, None))
    assert found.contains(inner) and found.width() < 1.2 * inner.width()


def test_a_map_of_elsewhere_is_refused(pan, shows):
    from whetstone.plugin.preview import preview_bounds

    shows(QgsRectangle(0, 0, 10, 10), pan.crs())
    with pytest.raises(WhetstoneError, match="nothing to preview"):
        preview_bounds(pan, None)


def test_one_pair_is_guessed(pan, ms, layer, scene, raster, tmp_path):
    from whetstone.plugin.preview_button import guessed_pair

    found = guessed_pair([ms, pan])
    assert (found.pan, found.ms, found.method) == (pan, ms, "auto")
    assert guessed_pair([pan]) is None and guessed_pair([ms, layer(scene.gt)]) is None
    other = layer(raster(tmp_path / "b.tif", scene.ms_values, pixel=4.0))
    assert guessed_pair([pan, ms, other]) is None  # two are one too many
    assert guessed_pair([pan, ms, layer(scene.ms, "a copy")]).ms in (ms,)
    far = layer(raster(tmp_path / "far.tif", scene.ms_values, pixel=4.0, origin=(0.0, 0.0)))
    assert guessed_pair([pan, far]) is None
    assert guessed_pair([pan, layer(scene.gt)]) is None  # as fine as the PAN


def test_the_best_method_at_hand(pan, ms, plugin, engine, monkeypatch, tmp_path):
    from whetstone.plugin.preview_button import usable_algorithm

    context = QgsProcessingContext()
    parameters = {"PAN": pan, "MS": ms, "PREVIEW": True, "OUTPUT": str(tmp_path / "p.tif")}
    algorithm, trouble = usable_algorithm("auto", parameters, context)
    assert algorithm.name() == "ssdiff" and trouble == ""
    monkeypatch.setenv("WHETSTONE_MODELS", str(tmp_path))
    algorithm, trouble = usable_algorithm("ssdiff", parameters, context)
    monkeypatch.delenv("WHETSTONE_ENGINE_PYTHON")
    monkeypatch.setenv("WHETSTONE_HOME", str(tmp_path / "none"))
    assert usable_algorithm("auto", parameters, context)[0].name() == "classical"
    algorithm, trouble = usable_algorithm("crossdiff", parameters, context)
    assert algorithm is None and "engine is not installed" in trouble


def test_the_time_that_is_left(monkeypatch):
    from whetstone.plugin import watching

    class Feedback:
        def __init__(self):
            self.texts, self.percents = [], []

        def setProgressText(self, text):  # noqa: N802
            self.texts.append(text)

        def setProgress(self, percent):  # noqa: N802
            self.percents.append(percent)

    now = [100.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    feedback = Feedback()
    progress = watching.FeedbackProgress(feedback)
    for second in range(0, 40):
        now[0] += 1
        progress.update(0.1 + second * 0.01, "sampling")
    assert feedback.texts[0] == "Sampling"
    assert feedback.texts[1] == "Sampling, about 85 s left"
    assert len(feedback.texts) < 16  # not every second
    assert feedback.percents == sorted(feedback.percents)
    now[0] += 1
    progress.update(0.98, "finishing the file")
    assert feedback.texts[-1] == "Finishing the file"
    progress.update(0.2)  # never backwards
    assert feedback.percents[-1] == pytest.approx(98)
