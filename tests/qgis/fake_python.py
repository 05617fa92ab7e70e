"""A Python that is none: answers what the installer asks, as a JSON file tells it to.

Written as an executable script by :func:`write_python`; ``FAKE_PYTHON`` names the JSON file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SCRIPT = """#!{python} -I
import json, os, subprocess, sys, time
from pathlib import Path
play = json.loads(Path(os.environ["FAKE_PYTHON"]).read_text("utf-8"))
words = sys.argv[1:]
with open(os.environ["FAKE_PYTHON"] + ".calls", "a", encoding="utf-8") as calls:
    calls.write(json.dumps({{"words": words, "environ": dict(os.environ)}}) + "\\n")
if words[1] == "-c":
    print(json.dumps(play["answer"]) if play.get("answer") else "not json")
elif words[2] == "venv":
    if play.get("venv_says"):
        print(play["venv_says"])
        sys.exit(1)
    folder = Path(words[-1])
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "pyvenv.cfg").write_text("home = " + os.path.dirname(__file__) + "\\n")
    (folder / "bin" / "python").write_bytes(Path(__file__).read_bytes())
    (folder / "bin" / "python").chmod(0o755)
elif words[2] == "pip":
    site = Path(__file__).parent.parent / "lib" / "python3.11" / "site-packages"
    for name in play.get("packages", ()):
        (site / name).mkdir(parents=True)
        (site / (name + "-1.0.dist-info")).mkdir()
    for line in play.get("says", ()):
        print(line, flush=True)
    if play.get("hangs"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path(os.environ["FAKE_PYTHON"] + ".child").write_text(str(child.pid))
        time.sleep(60)
    sys.exit(play.get("status", 0))
"""
GOOD = {
    "version": [3, 11, 2],
    "bits": 64,
    "machine": "x86_64",
    "implementation": "CPython",
    "venv": True,
    "https": True,
}


class FakePython:
    """The script, what it plays, and what it was called with."""

    def __init__(self, folder: Path, **play) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "python3"
        self.path.write_text(SCRIPT.format(python=sys.executable), encoding="utf-8")
        self.path.chmod(0o755)
        self.play_file = folder / "play.json"
        os.environ["FAKE_PYTHON"] = str(self.play_file)
        self.plays(answer=GOOD, packages=["torch", "rasterio", "safetensors"])
        self.plays(**play)

    def plays(self, **play) -> None:
        """Change what it does from now on."""
        known = {}
        if self.play_file.exists():
            known = json.loads(self.play_file.read_text("utf-8"))
        self.play_file.write_text(json.dumps({**known, **play}), encoding="utf-8")

    def calls(self) -> list[dict]:
        """Every call: its words and its environment."""
        path = Path(f"{self.play_file}.calls")
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    @property
    def child(self) -> int:
        """The process that a hanging pip started; 0 as long as there is none."""
        path = Path(f"{self.play_file}.child")
        text = path.read_text() if path.exists() else ""
        return int(text) if text else 0
