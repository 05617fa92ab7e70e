"""A group of result layers with the MS below, so that a click compares before and after."""

from __future__ import annotations

from uuid import uuid4

from qgis.core import QgsLayerTreeGroup, QgsProject, QgsRasterLayer

from .styling import Look, apply_look

_RUN = "whetstone/run"  # marks the group of a run: others may have its name


class ResultGroup:
    """Fused image, uncertainty (hidden at first) and a copy of the MS, from top to bottom.

    ``ms`` is (source, name, provider) of the multispectral layer. Main thread only.
    """

    def __init__(self, name: str, ms: tuple[str, str, str], look: Look) -> None:
        self._name, self._ms, self._look = name, ms, look
        self._run = uuid4().hex

    def add_fused(self, layer: QgsRasterLayer) -> None:
        """Move the fused layer, which QGIS has just loaded, to the top, and the MS below it."""
        group = self._group()
        self._move(layer, group, 0, shown=True)
        ms = QgsRasterLayer(*self._ms)
        if ms.isValid():
            apply_look(ms, self._look)
            QgsProject.instance().addMapLayer(ms, False)
            group.addLayer(ms).setExpanded(False)

    def add_uncertainty(self, layer: QgsRasterLayer) -> None:
        """Move the uncertainty layer, which QGIS has just loaded, below the fused one."""
        group = self._group()
        self._move(layer, group, min(1, len(group.children())), shown=False)

    def _group(self) -> QgsLayerTreeGroup:
        root = QgsProject.instance().layerTreeRoot()
        for group in root.findGroups():
            if group.customProperty(_RUN) == self._run:
                return group
        group = root.insertGroup(0, self._name)
        group.setCustomProperty(_RUN, self._run)
        return group

    @staticmethod
    def _move(layer: QgsRasterLayer, group: QgsLayerTreeGroup, place: int, shown: bool) -> None:
        before = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
        siblings = group.children()
        if before in siblings[:place]:  # QGIS had put it here, and it goes from there
            place += 1
        node = group.insertLayer(place, layer)
        node.setItemVisibilityChecked(shown)
        if before is not None:
            before.parent().removeChildNode(before)
