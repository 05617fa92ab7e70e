"""A small dialog that asks which PAN, which MS and which method to preview."""

from __future__ import annotations

from qgis.core import QgsMapLayerProxyModel
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QLabel

from .translation import tr

try:  # QGIS 3.34 moved the flags
    from qgis.core import Qgis

    _RASTERS = Qgis.LayerFilter.RasterLayer
except AttributeError:
    _RASTERS = QgsMapLayerProxyModel.Filter.RasterLayer


class PairDialog(QDialog):
    """Layers and method; ``chosen()`` after it was accepted."""

    def __init__(self, parent, guess) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Preview"))
        layout = QFormLayout(self)
        self.pan, self.ms = QgsMapLayerComboBox(self), QgsMapLayerComboBox(self)
        for box in (self.pan, self.ms):
            box.setFilters(_RASTERS)
            box.setMinimumWidth(320)
        if guess is not None:
            self.pan.setLayer(guess.pan)
            self.ms.setLayer(guess.ms)
        self.method = QComboBox(self)
        for key, title in (
            ("auto", tr("Best at hand")),
            ("ssdiff", "SSDiff"),
            ("crossdiff", "CrossDiff"),
            ("classical", tr("Classical (GSA)")),
        ):
            self.method.addItem(title, key)
        layout.addRow(tr("Panchromatic image (PAN)"), self.pan)
        layout.addRow(tr("Multispectral image (MS)"), self.ms)
        layout.addRow(tr("Method"), self.method)
        note = QLabel(tr("At most 512 x 512 PAN pixels in the middle of the map are fused."))
        note.setWordWrap(True)
        layout.addRow(note)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(ok | cancel, parent=self)
        self.buttons.button(ok).setText(tr("Preview"))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addRow(self.buttons)
        for box in (self.pan, self.ms):
            box.layerChanged.connect(self._check)
        self._check()

    def chosen(self):
        """(PAN layer, MS layer, method)."""
        return self.pan.currentLayer(), self.ms.currentLayer(), self.method.currentData()

    def _check(self) -> None:
        pan, ms = self.pan.currentLayer(), self.ms.currentLayer()
        two = pan is not None and ms is not None and pan is not ms
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(two)
