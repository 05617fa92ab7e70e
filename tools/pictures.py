"""Take the pictures of the documentation anew: the tests in a QGIS window, with bundled models.

Writes docs/images and the smaller ones of resources/help/pictures. Run by `make pictures`; look at
them before committing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS, HELP = ROOT / "docs" / "images", ROOT / "resources" / "help" / "pictures"
#: Test file -> where its pictures lie, in the folder that it gets.
TESTS = {
    "tests/gui/test_deep.py": "deep",
    "tests/gui/test_settings.py": ".",
    "tests/gui/test_screenshots.py": ".",
}
#: Pictures that the help pages show, smaller.
IN_HELP = (
    *("window", "dialog_ssdiff", "fused", "uncertainty"),
    *("dialog_adapt", "options_ready_tested"),
)


def main() -> int:
    """Run the tests one by one and keep their pictures."""
    python = ROOT / ".venv" / "qgis" / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if k not in ("QT_QPA_PLATFORM", "PYTHONPATH")}
    for folder in (DOCS, HELP):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        # An empty folder for the user's models: the bundled ones take part alone. And dialogs show
        # where their outputs go, which should say nothing of this checkout.
        none, shots = Path(scratch) / "models", Path(scratch) / "whetstone"
        none.mkdir()
        clean.update(WHETSTONE_SHOT_MODELS=str(none), WHETSTONE_SHOT_OUT=str(shots))
        for test, folder in TESTS.items():
            words = ["xvfb-run", "-a", "-s", "-screen 0 1440x900x24", str(python), "-m", "pytest"]
            words += ["-q", "-p", "no:cacheprovider", test]
            if subprocess.run(words, cwd=ROOT, env=clean).returncode != 0:
                return 1
            for picture in sorted((shots / folder).glob("*.png")):
                if not picture.name.startswith(("canvas_", "dialog_screen")):
                    shutil.copy(picture, DOCS / picture.name)
    shrink = "from qgis.PyQt.QtGui import QImage; from qgis.PyQt.QtCore import Qt; import sys\n"
    shrink += "i = QImage(sys.argv[1]); i.scaledToWidth(i.width() * 5 // 8, "
    shrink += "Qt.TransformationMode.SmoothTransformation).save(sys.argv[2])"
    for name in IN_HELP:
        source, target = DOCS / f"{name}.png", HELP / f"{name}.png"
        subprocess.run([python, "-c", shrink, source, target], check=True, env=clean)
    return 0


if __name__ == "__main__":
    sys.exit(main())
