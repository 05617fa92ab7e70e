"""The page «Whetstone» in Settings > Options: the engine and the models."""

from __future__ import annotations

from qgis.core import Qgis
from qgis.gui import QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..engine import Cancelled
from .background import work_on
from .engine_panel import EnginePanel
from .models_panel import ModelsPanel
from .translation import RESOURCES

PAGE = "whetstoneOptions"  #: the page's name for ``iface.showOptionsDialog``


class OptionsPage(QgsOptionsPageWidget):
    """Both parts, one above the other, scrolled where the window is small."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(PAGE)
        self.engine, self.models = EnginePanel(), ModelsPanel()
        self.engine.work.ended.connect(self.models.refresh)
        inner, scroll = QWidget(), QScrollArea()
        content = QVBoxLayout(inner)
        content.setContentsMargins(0, 0, 6, 0)
        content.addWidget(self.engine)
        content.addWidget(self.models, 1)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    def apply(self) -> None:
        """OK was pressed. Everything but the path of one's own Python acts at once."""
        self.engine.apply()


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page whenever QGIS opens its options, and tells when an installation has ended.

    ``announce`` is ``iface.messageBar().pushMessage``: the dialog may be closed by then.
    """

    def __init__(self, announce=None) -> None:
        super().__init__()
        self.setTitle("Whetstone")
        self.announce = announce
        work_on("engine").ended.connect(self._tell)

    def _tell(self, kind: str) -> None:
        work, level = work_on("engine"), Qgis.MessageLevel
        if kind != "install" or self.announce is None or isinstance(work.error, Cancelled):
            return
        if work.error is None:
            self.announce("Whetstone", work.done, level.Success, 10)
        else:
            self.announce("Whetstone", str(work.error), level.Warning, 30)

    def icon(self) -> QIcon:
        return QIcon(str(RESOURCES / "icons" / "whetstone.svg"))

    def createWidget(self, parent=None) -> OptionsPage:
        return OptionsPage(parent)
