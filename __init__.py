"""Whetstone: pansharpening for QGIS. ``whetstone.engine`` works without QGIS."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802 - QGIS asks for this name
    """Give QGIS the plugin."""
    from .plugin.main import WhetstonePlugin

    return WhetstonePlugin(iface)
