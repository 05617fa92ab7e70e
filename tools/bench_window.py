"""How a deep run feels in a QGIS window: stalls of the event loop, memory, cancel to silence.

Runs tests/gui/test_deep.py, whose script measures in a real window under Xvfb, and holds what it
measured to the limits. Run by `make bench`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "build" / "screenshots" / "deep" / "deep.json"
LIMITS = {
    "stall_ms": ("longest stall of QGIS's event loop during a deep run", 50, "ms"),
    "grown_mb": ("growth of QGIS's memory by a deep run", 20, "MB"),
    "cancel_s": ("from Cancel to silence", 1, "s"),
}


def main() -> int:
    """Measure, print, judge."""
    python = ROOT / ".venv" / "qgis" / "bin" / "python"
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gui/test_deep.py"]
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1440x900x24"]
    clean = {k: v for k, v in os.environ.items() if k not in ("QT_QPA_PLATFORM", "PYTHONPATH")}
    MEASURED.unlink(missing_ok=True)
    done = subprocess.run([*screen, str(python), *words], cwd=ROOT, env=clean, capture_output=True)
    if not MEASURED.is_file():
        print(done.stdout.decode()[-3000:], file=sys.stderr)
        return 1
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))["measured"]
    missed = 0
    for key, (title, limit, unit) in LIMITS.items():
        value = measured.get(key)
        fine = value is not None and value < limit
        missed += not fine
        shown = "-" if value is None else f"{value:.2f}"
        print(f"{title:55s} {shown:>8s} {unit:3s} (below {limit})  {'ok' if fine else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
