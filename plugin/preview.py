"""Which part of a scene a preview fuses: what the map shows, but no more than a few windows."""

from __future__ import annotations

from qgis import utils
from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)

from ..engine import WhetstoneError
from .translation import tr

#: Side of the largest preview in PAN pixels.
SIDE = 512


def preview_bounds(
    pan: QgsRasterLayer, bounds: tuple[float, float, float, float] | None
) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) in the PAN's CRS: at most SIDE x SIDE PAN pixels.

    Around the middle of what ``bounds``, the map canvas (unless bounds are given) and the PAN have
    in common. Main thread only.
    """
    area = QgsRectangle(*bounds) if bounds else _canvas_extent(pan)
    scene = pan.extent()
    seen = scene if area is None else area.intersect(scene)
    if seen.isEmpty():
        raise WhetstoneError(
            "NO_OVERLAP",
            tr("The map does not show the layer «{}», so there is nothing to preview.").format(
                pan.name()
            ),
            tr("Zoom to the layer, or give an extent."),
        )
    width = min(seen.width(), SIDE * pan.rasterUnitsPerPixelX())
    height = min(seen.height(), SIDE * pan.rasterUnitsPerPixelY())
    middle = seen.center()
    return (
        middle.x() - width / 2,
        middle.y() - height / 2,
        middle.x() + width / 2,
        middle.y() + height / 2,
    )


def _canvas_extent(pan: QgsRasterLayer) -> QgsRectangle | None:
    """What the map shows, in the PAN's CRS; None where there is no map, or no way to that CRS."""
    canvas = utils.iface.mapCanvas() if utils.iface else None
    if canvas is None:
        return None
    change = QgsCoordinateTransform(
        canvas.mapSettings().destinationCrs(), pan.crs(), QgsProject.instance()
    )
    try:
        return change.transformBoundingBox(canvas.extent())
    except QgsCsException:
        return None
