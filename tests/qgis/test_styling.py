"""The result looks like the MS: same bands, limits and contrast law; nothing else changes."""

from __future__ import annotations

import pytest
from qgis.core import (
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProcessing,
    QgsProcessingOutputLayerDefinition,
    QgsSingleBandGrayRenderer,
)

LAW = QgsContrastEnhancement.ContrastEnhancementAlgorithm


def stretch(layer) -> list[tuple]:
    """Band, limits and law of red, green and blue."""
    renderer = layer.renderer()
    assert isinstance(renderer, QgsMultiBandColorRenderer)
    bands = (renderer.redBand(), renderer.greenBand(), renderer.blueBand())
    contrasts = (
        renderer.redContrastEnhancement(),
        renderer.greenContrastEnhancement(),
        renderer.blueContrastEnhancement(),
    )
    return [
        (band, item.minimumValue(), item.maximumValue(), item.contrastEnhancementAlgorithm())
        for band, item in zip(bands, contrasts)
    ]


def colour(layer, bands, limits, law=LAW.StretchToMinimumMaximum) -> None:
    """Show a layer in the given way."""
    renderer = QgsMultiBandColorRenderer(layer.dataProvider(), *bands)
    setters = (
        renderer.setRedContrastEnhancement,
        renderer.setGreenContrastEnhancement,
        renderer.setBlueContrastEnhancement,
    )
    for setter, band, (low, high) in zip(setters, bands, limits):
        contrast = QgsContrastEnhancement(layer.dataProvider().dataType(band))
        contrast.setMinimumValue(low)
        contrast.setMaximumValue(high)
        contrast.setContrastEnhancementAlgorithm(law)
        setter(contrast)
    layer.setRenderer(renderer)


@pytest.fixture
def fuse(plugin, context, project):
    """Run ``whetstone:classical`` and load the result as the dialog does."""
    import processing
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsApplication, QgsProcessingFeedback

    def loaded(output=QgsProcessing.TEMPORARY_OUTPUT, **parameters):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById("whetstone:classical")
        target = QgsProcessingOutputLayerDefinition(output, project)
        before = set(project.mapLayers())
        feedback = QgsProcessingFeedback(False)
        results, fine = algorithm.run({**parameters, "OUTPUT": target}, context, feedback)
        assert fine
        assert handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
        new = [layer for key, layer in project.mapLayers().items() if key not in before]
        assert len(new) == 1 and new[0].source() == results["OUTPUT"]
        return new[0]

    assert processing
    return loaded


def test_style_equals_that_of_the_ms(fuse, project, layer, scene):
    ms = project.addMapLayer(layer(scene.ms, "Town MS"))
    limits = [(310.0, 890.5), (420.0, 1010.0), (215.0, 777.0)]
    colour(ms, (4, 3, 2), limits, LAW.StretchAndClipToMinimumMaximum)
    ms.brightnessFilter().setBrightness(12)
    ms.hueSaturationFilter().setSaturation(20)
    fused = fuse(PAN=scene.pan, MS=ms)
    assert stretch(fused) == stretch(ms)
    assert fused.name() == "Town MS GSA"
    assert fused.opacity() == 1.0 and fused.renderer().opacity() == 1.0
    assert fused.brightnessFilter().brightness() == 12
    assert fused.hueSaturationFilter().saturation() == 20


def test_style_follows_chosen_bands(fuse, project, layer, scene):
    ms = project.addMapLayer(layer(scene.ms))
    colour(ms, (3, 2, 1), [(1.0, 900.0), (2.0, 901.0), (3.0, 902.0)])
    fused = fuse(PAN=scene.pan, MS=ms, MS_BANDS=[1, 2, 3, 4][::-1])
    wanted = [(2, 1.0, 900.0), (3, 2.0, 901.0), (4, 3.0, 902.0)]
    assert [row[:3] for row in stretch(fused)] == wanted


def test_true_colour_and_cumulative_cut_without_a_project_layer(fuse, layer, scene):
    fused = fuse(PAN=scene.pan, MS=scene.ms, METHOD="brovey")
    ms = layer(scene.ms)
    rows = stretch(fused)
    assert [row[0] for row in rows] == [3, 2, 1]  # Blue, Green, Red, NIR by name
    for band, low, high, law in rows:
        cut = ms.dataProvider().cumulativeCut(band, 0.02, 0.98)
        assert (low, high) == pytest.approx(cut[:2], abs=1.0)
        assert law == LAW.StretchToMinimumMaximum
    assert fused.name() == "ms BROVEY"


def test_grey_ms_gives_grey_result(fuse, scene, raster, tmp_path):
    ms = raster(tmp_path / "one.tif", scene.ms_values[0], pixel=4.0)
    assert isinstance(fuse(PAN=scene.pan, MS=ms, METHOD="gs").renderer(), QgsSingleBandGrayRenderer)


def test_eight_bit_without_stretch(fuse, project, layer, scene, raster, tmp_path):
    ms8 = raster(tmp_path / "ms8.tif", (scene.ms_values // 8).astype("uint8"), pixel=4.0)
    pan8 = raster(tmp_path / "pan8.tif", (scene.pan_values // 8).astype("uint8"), pixel=1.0)
    ms = project.addMapLayer(layer(ms8))
    colour(ms, (3, 2, 1), [(0, 0)] * 3, LAW.NoEnhancement)
    assert [row[1:3] for row in stretch(fuse(PAN=pan8, MS=ms))] == [(0.0, 255.0)] * 3


def test_a_file_keeps_no_debris_of_the_style(fuse, scene, tmp_path):
    fuse(str(tmp_path / "out.tif"), PAN=scene.pan, MS=scene.ms)
    assert [item.name for item in tmp_path.iterdir()] == ["out.tif"]
