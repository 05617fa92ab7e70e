"""How a fused layer looks: the MS layer's bands and stretch, so that before and after compare.

A :class:`Look` is plain values. It is taken from the MS layer on the main thread when that layer is
part of the project, otherwise measured on the MS file; a post-processor applies it to the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Callable

from osgeo import gdal
from qgis.core import (
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMultiBandColorRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from ..engine.sensors import band_role, find_sensor

_ALGORITHM = QgsContrastEnhancement.ContrastEnhancementAlgorithm
_SAMPLE = 250_000  # pixels QGIS itself samples for a cumulative cut
_CUT = (0.02, 0.98)
_COLOURS = ("red", "green", "blue")
#: Five colours of the ramp viridis: even steps of lightness, readable without colour vision.
_VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


@dataclass(frozen=True)
class Look:
    """Band numbers (three: colour, one: grey), their (low, high) limits and the contrast law.

    ``tone`` is brightness, contrast, gamma and saturation of the layer the look was taken from.
    """

    bands: tuple[int, ...]
    limits: tuple[tuple[float, float], ...]
    algorithm: object = _ALGORITHM.StretchToMinimumMaximum
    tone: tuple[float, ...] = (0, 0, 1.0, 0)

    def on(self, numbers: tuple[int, ...]) -> Look | None:
        """The look on an image that holds only the bands ``numbers``; None when one is missing."""
        if not set(self.bands) <= set(numbers):
            return None
        return replace(self, bands=tuple(numbers.index(band) + 1 for band in self.bands))


def look_of(layer: QgsRasterLayer) -> Look | None:
    """How a layer is shown now, when it is shown in colour or in grey with known limits."""
    renderer = layer.renderer()
    if isinstance(renderer, QgsMultiBandColorRenderer):
        bands = (renderer.redBand(), renderer.greenBand(), renderer.blueBand())
        contrasts = (
            renderer.redContrastEnhancement(),
            renderer.greenContrastEnhancement(),
            renderer.blueContrastEnhancement(),
        )
    elif isinstance(renderer, QgsSingleBandGrayRenderer):
        bands, contrasts = (renderer.grayBand(),), (renderer.contrastEnhancement(),)
    else:
        return None
    if min(bands) < 1 or any(contrast is None for contrast in contrasts):
        return None
    return Look(bands, tuple(map(_limits, contrasts)), _law(contrasts[0]), _tone(layer))


def _limits(contrast: QgsContrastEnhancement) -> tuple[float, float]:
    if contrast.contrastEnhancementAlgorithm() == _ALGORITHM.NoEnhancement:
        return 0.0, 255.0  # what the screen shows of unstretched values
    return contrast.minimumValue(), contrast.maximumValue()


def _law(contrast: QgsContrastEnhancement):
    law = contrast.contrastEnhancementAlgorithm()
    return _ALGORITHM.StretchToMinimumMaximum if law == _ALGORITHM.NoEnhancement else law


def _tone(layer: QgsRasterLayer) -> tuple[float, ...]:
    light, hue = layer.brightnessFilter(), layer.hueSaturationFilter()
    return light.brightness(), light.contrast(), light.gamma(), hue.saturation()


def measured_look(paths: tuple[str, ...], bands: tuple[int, ...], shown: tuple[int, ...]) -> Look:
    """A cumulative cut of 2 to 98 % on the MS itself. May run on a background thread.

    ``bands`` are the bands of the MS that were fused (empty: all), ``shown`` which of the fused
    ones to show.
    """
    layers = [QgsRasterLayer(path, "", "gdal") for path in paths]
    places = [(layer, n + 1) for layer in layers for n in range(layer.bandCount())]
    chosen = [places[band - 1] for band in bands] or places
    limits = []
    for number in shown:
        layer, band = chosen[number - 1]
        cut = layer.dataProvider().cumulativeCut(band, *_CUT, layer.extent(), _SAMPLE)
        limits.append((cut[0], cut[1]) if cut[1] > cut[0] else (cut[0], cut[0] + 1.0))
    return Look(tuple(shown), tuple(limits))


def true_colour(path: str, sensor: str) -> tuple[int, ...]:
    """Red, green and blue of a fused file: by its band names and colours, else by the sensor."""
    dataset = gdal.OpenEx(path, gdal.OF_RASTER)
    bands = [dataset.GetRasterBand(n + 1) for n in range(dataset.RasterCount)]
    table = find_sensor("generic" if sensor == "auto" else sensor)
    by_name = [band_role(band.GetDescription(), table) for band in bands]
    by_colour = [
        gdal.GetColorInterpretationName(band.GetColorInterpretation()).lower() for band in bands
    ]
    for roles in (by_name, by_colour, list(table.order(len(bands)))):
        if set(_COLOURS) <= set(roles):
            return tuple(roles.index(colour) + 1 for colour in _COLOURS)
    if len(bands) < 3:
        return (1,)
    return {3: (1, 2, 3), 8: (5, 3, 2)}.get(len(bands), (3, 2, 1))


def apply_look(layer: QgsRasterLayer, look: Look) -> None:
    """Give a layer a look. Opacity and blending stay as they are."""
    provider = layer.dataProvider()
    contrasts = [
        _contrast(provider.dataType(band), limits, look.algorithm)
        for band, limits in zip(look.bands, look.limits)
    ]
    if len(look.bands) == 3:
        renderer = QgsMultiBandColorRenderer(provider, *look.bands)
        renderer.setRedContrastEnhancement(contrasts[0])
        renderer.setGreenContrastEnhancement(contrasts[1])
        renderer.setBlueContrastEnhancement(contrasts[2])
    else:
        renderer = QgsSingleBandGrayRenderer(provider, look.bands[0])
        renderer.setContrastEnhancement(contrasts[0])
    layer.setRenderer(renderer)
    brightness, contrast, gamma, saturation = look.tone
    layer.brightnessFilter().setBrightness(int(brightness))
    layer.brightnessFilter().setContrast(int(contrast))
    layer.brightnessFilter().setGamma(gamma)
    layer.hueSaturationFilter().setSaturation(int(saturation))
    layer.triggerRepaint()


def _contrast(data_type, limits: tuple[float, float], algorithm) -> QgsContrastEnhancement:
    contrast = QgsContrastEnhancement(data_type)
    contrast.setMinimumValue(limits[0])
    contrast.setMaximumValue(limits[1])
    contrast.setContrastEnhancementAlgorithm(algorithm)
    return contrast


def apply_heat(layer: QgsRasterLayer, band: int = 1) -> None:
    """Show one band by a perceptual ramp with a legend, dark where it is low.

    A single-band layer style, from nothing to where 98 % of the pixels lie below.
    """
    provider = layer.dataProvider()
    high = provider.cumulativeCut(band, 0.0, _CUT[1], layer.extent(), _SAMPLE)[1]
    ramp = QgsColorRampShader(0.0, high if high > 0 else 1.0, _viridis())
    ramp.setColorRampType(QgsColorRampShader.Type.Interpolated)
    ramp.classifyColorRamp(5, band, layer.extent(), provider)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    renderer = QgsSingleBandPseudoColorRenderer(provider, band, shader)
    renderer.setClassificationMin(ramp.minimumValue())
    renderer.setClassificationMax(ramp.maximumValue())
    layer.setRenderer(renderer)
    layer.triggerRepaint()


def _viridis() -> QgsGradientColorRamp:
    first, *between, last = (QColor(name) for name in _VIRIDIS)
    stops = [QgsGradientStop((n + 1) / (len(_VIRIDIS) - 1), c) for n, c in enumerate(between)]
    return QgsGradientColorRamp(first, last, False, stops)


class Painter(QgsProcessingLayerPostProcessorInterface):
    """Does things with a result layer on the main thread, once QGIS has loaded it."""

    _alive: list[Painter] = []  # QGIS keeps no reference of its own

    def __init__(self, *acts: Callable[[QgsRasterLayer], None]) -> None:
        super().__init__()
        self.acts = acts
        self._alive.append(self)
        del self._alive[:-64]  # of runs whose layer was never loaded

    def postProcessLayer(self, layer, context, feedback) -> None:
        """Called by QGIS."""
        if isinstance(layer, QgsRasterLayer) and layer.isValid():
            for act in self.acts:
                act(layer)


def look_painter(look: Look) -> Painter:
    """Gives a result layer a look."""
    return Painter(partial(apply_look, look=look))
