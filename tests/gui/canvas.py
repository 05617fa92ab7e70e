"""Layers as pictures, for the scripts that run inside QGIS."""

from qgis.core import QgsMapRendererParallelJob, QgsMapSettings
from qgis.PyQt.QtCore import QRect, QSize, Qt
from qgis.PyQt.QtGui import QColor, QImage, QPainter

SIDE, MARGIN, HEAD = 460, 12, 34


def picture(layer, box) -> QImage:
    """A square of the map with one layer."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(box)
    settings.setOutputSize(QSize(SIDE, SIDE))
    settings.setDestinationCrs(layer.crs())
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def side_by_side(layers: dict, box) -> QImage:
    """Layers by their captions, at the same place and scale."""
    sheet = QImage(
        len(layers) * (SIDE + MARGIN) + MARGIN, SIDE + HEAD + MARGIN, QImage.Format.Format_RGB32
    )
    sheet.fill(QColor("#f2f2f2"))
    painter = QPainter(sheet)
    for index, (caption, layer) in enumerate(layers.items()):
        left = MARGIN + index * (SIDE + MARGIN)
        painter.drawImage(left, HEAD, picture(layer, box))
        place = QRect(left, 0, SIDE, HEAD)
        painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), caption)
    painter.end()
    return sheet
