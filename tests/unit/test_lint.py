"""The static check for Qt 6 finds what it should, and nothing else."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(scope="module")
def qt_problems(root):
    spec = importlib.util.spec_from_file_location("lint_tool", root / "tools" / "lint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.qt_problems


@pytest.mark.parametrize(
    "line",
    [
        "from PyQt5.QtCore import Qt",
        "import PyQt6.QtCore",
        "from qgis.PyQt.QtCore import QRegExp",
        "x = Qt.AlignLeft",
        "x = QtCore.Qt.red",
        "x = QgsProcessing.TypeRaster",
        "f(QgsProcessingParameterNumber.Double)",
        "if QMessageBox.question(w) == QMessageBox.Yes: pass",
        "x = Qgis.Critical",
        "dialog.exec_()",
        "x = self.FlagHideFromToolbox",
    ],
)
def test_qt5_only_code_is_found(qt_problems, line):
    assert qt_problems(line)


@pytest.mark.parametrize(
    "line",
    [
        "from qgis.PyQt.QtCore import Qt",
        "x = Qt.AlignmentFlag.AlignLeft",
        "x = QgsProcessing.SourceType.TypeRaster",
        "x = QgsProcessing.TEMPORARY_OUTPUT",
        "x = QgsProcessingParameterNumber.Type.Double",
        "x = QMessageBox.StandardButton.Yes",
        "x = Qgis.MessageLevel(1)",
        "x = QgsRasterLayer.LayerOptions()",
        "dialog.exec()",
    ],
)
def test_code_for_both_is_left_alone(qt_problems, line):
    assert not qt_problems(line)
