"""The QGIS side of Whetstone: provider, algorithms and layer styling."""
