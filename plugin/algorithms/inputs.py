"""From parameter values to the engine's sources: the pair, its extent, its other rasters.

Main thread only. What comes out is plain values (and the CRS of PAN, a value as well).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer

from ...engine import RasterSource, WhetstoneError
from ..layers import data_bands, refuse_remote, source_of, source_of_files
from ..styling import Look, look_of
from ..translation import tr


@dataclass(frozen=True)
class Pair:
    """A pair to work on. ``look`` is how the MS layer is shown, when it is part of the project."""

    pan: RasterSource
    ms: RasterSource
    name: str
    pan_crs: QgsCoordinateReferenceSystem
    look: Look | None
    ms_layer: tuple[str, str, str]  # source, name and provider, to show the MS beside the result


def pan_layer(algorithm, parameters, context) -> QgsRasterLayer:
    """The PAN layer; refused when it is a picture or has several bands and none is chosen."""
    layer = algorithm.parameterAsRasterLayer(parameters, "PAN", context)
    refuse_remote(layer)
    count = len(data_bands(layer))
    if count > 1 and not pan_bands(algorithm, parameters, context):
        raise WhetstoneError(
            "PAN_BANDS",
            tr("PAN must be one band; this layer has {}.").format(count),
            tr("Did you swap PAN and MS?"),
        )
    return layer


def pan_bands(algorithm, parameters, context) -> tuple[int, ...]:
    """The chosen PAN band, as QGIS counts."""
    if parameters.get("PAN_BAND") in (None, ""):
        return ()
    return (algorithm.parameterAsInt(parameters, "PAN_BAND", context),)


def ms_layers(algorithm, parameters, context) -> list[QgsRasterLayer]:
    """The MS layer, or the layers that hold one band each."""
    layer = None
    if parameters.get("MS") not in (None, ""):
        layer = algorithm.parameterAsRasterLayer(parameters, "MS", context)
    files = algorithm.parameterAsLayerList(parameters, "MS_FILES", context) or []
    if layer is not None and files:
        raise WhetstoneError(
            "MS_TWICE",
            tr("Both an MS layer and single MS bands are given."),
            tr("Give either of them."),
        )
    layers = [layer] if layer is not None else files
    if not layers:
        raise WhetstoneError(
            "MS_MISSING",
            tr("No multispectral image is given."),
            tr("Choose the MS layer, or one layer per band."),
        )
    for item in layers:
        refuse_remote(item)
    return layers


def ms_bands(algorithm, parameters, context) -> tuple[int, ...]:
    """The chosen MS bands, as QGIS counts; empty for all."""
    if not parameters.get("MS_BANDS"):
        return ()
    return tuple(algorithm.parameterAsInts(parameters, "MS_BANDS", context))


class PairFacts(NamedTuple):
    """What a model must fit."""

    bands: int
    ratio: float
    sensor: str


def check_pair(algorithm, parameters, context) -> PairFacts:
    """Open the headers of the pair as the engine will; whatever it would refuse is refused now."""
    from ...engine.pair import open_pair  # not while QGIS starts

    pair = read_pair(algorithm, parameters, context, [])
    protocol, sensor = "product", "auto"
    if algorithm.parameterDefinition("PROTOCOL") is not None:
        protocol = algorithm.parameterAsEnumString(parameters, "PROTOCOL", context) or protocol
    if algorithm.parameterDefinition("SENSOR") is not None:
        sensor = algorithm.parameterAsEnumString(parameters, "SENSOR", context) or sensor
    with open_pair(pair.pan, pair.ms, sensor=sensor, protocol=protocol) as opened:
        if algorithm.parameterDefinition("EXTENT") is not None:
            opened.window_of(extent_bounds(algorithm, parameters, context, pair.pan_crs))
        return PairFacts(opened.bands, opened.ratio, opened.sensor.key)


def read_pair(algorithm, parameters, context, notes: list[str]) -> Pair:
    """PAN and MS as the engine's sources, with what the user set in QGIS."""
    pan = pan_layer(algorithm, parameters, context)
    layers = ms_layers(algorithm, parameters, context)
    bands = ms_bands(algorithm, parameters, context)
    if len(layers) == 1:
        ms = source_of(layers[0], bands, notes)
    else:
        ms = source_of_files(layers, bands, notes)
    return Pair(
        pan=source_of(pan, pan_bands(algorithm, parameters, context), notes),
        ms=ms,
        name=layers[0].name(),
        pan_crs=pan.crs(),
        look=_project_look(layers, bands, context),
        ms_layer=(layers[0].source(), layers[0].name(), layers[0].providerType()),
    )


def _project_look(layers, bands, context) -> Look | None:
    """How the user sees the MS, as band numbers of the fused image."""
    layer, project = layers[0], context.project()
    if len(layers) > 1 or project is None or project.mapLayer(layer.id()) is None:
        return None
    look = look_of(layer)
    return look.on(bands or data_bands(layer)) if look else None


def extent_bounds(algorithm, parameters, context, crs) -> tuple[float, float, float, float] | None:
    """The EXTENT parameter in the PAN's CRS, whatever CRS it was given in."""
    if parameters.get("EXTENT") in (None, ""):
        return None
    box = algorithm.parameterAsExtent(parameters, "EXTENT", context, crs)
    if box.isNull() or box.isEmpty():
        return None
    return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()


def other_source(algorithm, parameters, context, name: str, notes: list[str]):
    """Another raster parameter as a source; None when it is not given."""
    if parameters.get(name) in (None, ""):
        return None
    layer = algorithm.parameterAsRasterLayer(parameters, name, context)
    return source_of(layer, (), notes)


def creation_options(text: str) -> dict[str, str]:
    """``A=B|C=D`` as GDAL algorithms write it."""
    options = {}
    for part in filter(None, (piece.strip() for piece in (text or "").split("|"))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise WhetstoneError(
                "OPTION_INVALID",
                tr("The creation option «{}» is not of the form NAME=VALUE.").format(part),
                tr("Separate several options by |."),
            )
        options[name.strip().upper()] = value.strip()
    return options
