"""The plugin as QGIS sees it: it brings a Processing provider and takes it away again."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication

from .provider import WhetstoneProvider
from .translation import installed_translator


class WhetstonePlugin:
    """Made by ``classFactory``. ``qgis_process`` calls only :meth:`initProcessing`."""

    def __init__(self, iface=None) -> None:
        self.iface = iface
        self.provider = None
        self.translator = None
        self.options = None

    def initProcessing(self) -> None:
        """Register the provider, once."""
        if self.provider is not None:
            return
        self.translator = installed_translator()
        self.provider = WhetstoneProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        self.provider.refreshAlgorithms()  # models find their children only now

    def initGui(self) -> None:
        """Start inside the QGIS window. There is no dock and no menu: the Toolbox is the place."""
        self.initProcessing()
        if self.iface is not None and self.options is None:
            from .options_page import OptionsFactory  # qgis_process has no use for widgets

            self.options = OptionsFactory()
            self.iface.registerOptionsWidgetFactory(self.options)

    def unload(self) -> None:
        """Leave nothing behind."""
        if self.options is not None:
            from .background import stop_all_work

            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
            stop_all_work()
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QCoreApplication.removeTranslator(self.translator)
            self.translator = None
