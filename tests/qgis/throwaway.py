"""A throw-away QGIS profile for ``qgis_process``, and the plugin zip."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

PROGRAM = shutil.which("qgis_process.bin") or shutil.which("qgis_process")


class Profile:
    """A throw-away home with one plugin folder; nothing of the user's own is read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plugins = folder, folder / "plugins"
        self.more: dict[str, str] = {}
        for name in ("home", "runtime", "profile", "plugins", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "runtime").chmod(0o700)

    def environment(self) -> dict[str, str]:
        """Only what QGIS needs, all of it under the folder."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "runtime"),
            "QGIS_CUSTOM_CONFIG_PATH": str(self.folder / "profile"),
            "QGIS_PLUGINPATH": str(self.plugins),
            "TMPDIR": str(self.folder / "tmp"),
            "QT_QPA_PLATFORM": "offscreen",
            "GDAL_PAM_ENABLED": "NO",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WHETSTONE_HOME": str(self.folder / "data"),
            **self.more,
        }

    def call(self, *words: str, code: int = 0) -> subprocess.CompletedProcess:
        """Run ``qgis_process`` and hold it to an exit code."""
        done = self.try_call(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def try_call(self, *words: str) -> subprocess.CompletedProcess:
        """Run ``qgis_process``."""
        return subprocess.run(
            [PROGRAM, *map(str, words)],
            env=self.environment(),
            cwd=self.folder / "tmp",
            capture_output=True,
            text=True,
            timeout=400,
        )

    def run(self, name: str, **parameters) -> dict:
        """Run an algorithm and return its results; lists become repeated parameters."""
        words = []
        for key, value in parameters.items():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                words.append(f"{key.replace('__', ':')}={item}")
        done = self.call("--json", "run", name, "--", *words)
        return json.loads(done.stdout[done.stdout.index("{") :])["results"]


def package_bytes(tool: Path) -> bytes:
    """The zip as the tool builds it, from what git tracks."""
    spec = importlib.util.spec_from_file_location("whetstone_package", tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()


def unpack_zip(root: Path, folder: Path) -> None:
    """Put the plugin into a folder as a user gets it: from the zip."""
    with zipfile.ZipFile(io.BytesIO(package_bytes(root / "tools" / "package.py"))) as package:
        package.extractall(folder)
