"""The plugin as QGIS sees it: it brings a Processing provider and takes it away again."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, QTimer

from .provider import WhetstoneProvider
from .translation import installed_translator


class WhetstonePlugin:
    """Made by ``classFactory``. ``qgis_process`` calls only :meth:`initProcessing`."""

    def __init__(self, iface=None) -> None:
        self.iface = iface
        self.provider = None
        self.translator = None
        self.options = None
        self.button = self.button_action = self.message = None

    def initProcessing(self) -> None:
        """Register the provider, once."""
        if self.provider is not None:
            return
        self.translator = installed_translator()
        self.provider = WhetstoneProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        self.provider.refreshAlgorithms()  # models find their children only now

    def initGui(self) -> None:
        """Start inside the QGIS window: one page in the options, one button in the toolbar."""
        self.initProcessing()
        if self.iface is not None and self.options is None:
            from .options_page import OptionsFactory  # qgis_process has no use for widgets
            from .preview_button import PreviewButton

            self.options = OptionsFactory(self.iface.messageBar().pushMessage)
            self.iface.registerOptionsWidgetFactory(self.options)
            self.button = PreviewButton(self.iface)
            self.button_action = self.iface.addToolBarWidget(self.button)
            QTimer.singleShot(0, self._welcome)  # once the window is there

    def _welcome(self) -> None:
        if self.options is not None:
            from .demo_scene import welcome

            self.message = welcome(self.iface)

    def unload(self) -> None:
        """Leave nothing behind."""
        if self.options is not None:
            from .background import stop_all_work

            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
            self.button.stop()
            self.iface.removeToolBarIcon(self.button_action)
            self.button.deleteLater()
            if self.message is not None and not sip.isdeleted(self.message):
                self.iface.messageBar().popWidget(self.message)
            self.button = self.button_action = None
            stop_all_work()
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QCoreApplication.removeTranslator(self.translator)
            self.translator = None
