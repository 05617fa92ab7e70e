"""From a QGIS raster layer to what the engine opens: its file, bands, CRS and nodata.

Layers belong to the main thread; everything here runs there and hands out plain values.
"""

from __future__ import annotations

import os
import re

from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsProcessingUtils,
    QgsRaster,
    QgsRasterLayer,
)

from ..engine import RasterSource, WhetstoneError
from .translation import tr

_PICTURE_PROVIDERS = ("wms", "arcgismapserver")
# QGIS 3.30 and 3.36 moved these two enums into Qgis.
_COLOR = getattr(Qgis, "RasterColorInterpretation", None) or QgsRaster.ColorInterpretation
_WKT2 = (
    Qgis.CrsWktVariant.Wkt2_2019
    if hasattr(Qgis, "CrsWktVariant")
    else QgsCoordinateReferenceSystem.WktVariant.WKT2_2019
)
_URI_SUFFIX = re.compile(r"\|(?=option:|authcfg=|layername=|credential:)")


def refuse_remote(layer: QgsRasterLayer) -> None:
    """Only files (and what GDAL reads like files) carry measurements."""
    provider = layer.providerType()
    if provider in _PICTURE_PROVIDERS:
        raise WhetstoneError(
            "REMOTE_LAYER",
            tr("The layer «{}» is a web map.").format(layer.name()),
            tr(
                "Web map layers carry pictures, not measurements. "
                "Save as GeoTIFF or use the original bands."
            ),
        )
    if provider != "gdal":
        raise WhetstoneError(
            "REMOTE_LAYER",
            tr("The layer «{}» is not a file (provider {}).").format(layer.name(), provider),
            tr("Save it as GeoTIFF first (Layer > Save As)."),
        )


def source_of(layer: QgsRasterLayer, bands: tuple[int, ...], notes: list[str]) -> RasterSource:
    """One layer, with the band numbers that QGIS shows (none: all), as the engine's source."""
    refuse_remote(layer)
    chosen = bands or data_bands(layer)
    return RasterSource(
        paths=(dataset_name(layer.source()),),
        bands=without_alpha(layer, bands) if bands else None,
        crs=crs_override(layer),
        nodata=nodata_override(layer, chosen, notes),
    )


def source_of_files(
    layers: list[QgsRasterLayer], bands: tuple[int, ...], notes: list[str]
) -> RasterSource:
    """Several layers, one band (or more) each, as one source; ``bands`` count through them all."""
    parts = [source_of(layer, (), notes) for layer in layers]
    return RasterSource(
        paths=tuple(part.paths[0] for part in parts),
        bands=bands or None,
        crs=_agreed([part.crs for part in parts], tr("coordinate reference systems")),
        nodata=_agreed([part.nodata for part in parts], tr("nodata values")),
    )


def _agreed(values: list, what: str):
    if any(value != values[0] for value in values):
        raise WhetstoneError(
            "MS_FILES_DIFFER",
            tr("The MS layers have different {}.").format(what),
            tr("Set the same for all of them in their layer properties."),
        )
    return values[0]


def dataset_name(uri: str) -> str:
    """The name GDAL opens for a QGIS URI; open options are kept through a small VRT."""
    name, *suffixes = _URI_SUFFIX.split(uri)
    options = [part[len("option:") :] for part in suffixes if part.startswith("option:")]
    tables = [part[len("layername=") :] for part in suffixes if part.startswith("layername=")]
    if tables and not name.startswith("GPKG:"):
        name = f"GPKG:{name}:{tables[0]}"
    if os.path.exists(name):
        name = os.path.abspath(name)
    return _vrt_with_options(name, options) if options else name


def _vrt_with_options(name: str, options: list[str]) -> str:
    dataset = gdal.OpenEx(name, gdal.OF_RASTER, open_options=options)
    path = QgsProcessingUtils.generateTempFilename("opened.vrt")
    copy = dataset and gdal.GetDriverByName("VRT").CreateCopy(path, dataset)
    if not copy:
        raise WhetstoneError(
            "OPEN_FAILED",
            tr("GDAL cannot open {} with {}.").format(name, " ".join(options)),
            tr("Save the layer as GeoTIFF first."),
        )
    return path


def alpha_bands(layer: QgsRasterLayer) -> set[int]:
    """The bands that say how opaque a pixel is."""
    provider = layer.dataProvider()
    count = layer.bandCount()
    interpretation = provider.colorInterpretation
    return {band for band in range(1, count + 1) if interpretation(band) == _COLOR.AlphaBand}


def data_bands(layer: QgsRasterLayer) -> tuple[int, ...]:
    """The numbers of the bands that hold measurements."""
    alpha = alpha_bands(layer)
    return tuple(band for band in range(1, layer.bandCount() + 1) if band not in alpha)


def without_alpha(layer: QgsRasterLayer, bands: tuple[int, ...]) -> tuple[int, ...]:
    """QGIS's band numbers as the engine counts them: alpha bands have no number."""
    numbers = data_bands(layer)
    for band in bands:
        if band not in numbers:
            raise WhetstoneError(
                "BAND_MISSING",
                tr("The layer «{}» has no image band {}.").format(layer.name(), band),
                tr("Choose among the bands {}.").format(", ".join(map(str, numbers))),
            )
    return tuple(numbers.index(band) + 1 for band in bands)


def crs_override(layer: QgsRasterLayer) -> str | None:
    """The layer's CRS as WKT2 when the user (or QGIS) set another one than the file's."""
    crs = layer.crs()
    if not crs.isValid() or crs == layer.dataProvider().crs():
        return None
    return crs.toWkt(_WKT2)


def nodata_override(
    layer: QgsRasterLayer, bands: tuple[int, ...], notes: list[str]
) -> float | None:
    """The nodata value a user added in the layer's properties, when it is one simple value.

    What the engine cannot follow (ranges, several values, nodata switched off) goes to ``notes``.
    """
    provider = layer.dataProvider()
    extra = {(item.min(), item.max()) for band in bands for item in provider.userNoDataValues(band)}
    of_file = {
        provider.sourceNoDataValue(band) for band in bands if provider.sourceHasNoDataValue(band)
    }
    ignored = [
        band
        for band in bands
        if provider.sourceHasNoDataValue(band) and not provider.useSourceNoDataValue(band)
    ]
    if len(extra) == 1 and all(low == high for low, high in extra):
        value = next(iter(extra))[0]
        if of_file - {value} and not ignored:
            notes.append(_nodata_note(layer, tr("only {} is used as nodata").format(value)))
        return value
    if extra:
        notes.append(_nodata_note(layer, tr("nodata ranges or several values are not used")))
    if ignored:
        notes.append(_nodata_note(layer, tr("the file's nodata value is used all the same")))
    return None


def _nodata_note(layer: QgsRasterLayer, text: str) -> str:
    return tr("Warning: layer «{}»: {}.").format(layer.name(), text)
