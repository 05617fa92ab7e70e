"""Build dist/whetstone-<version>.zip for the QGIS plugin repository, and check it as that does.

Reproducible: git-tracked files only, sorted, fixed times and modes. Run by `make package`.
"""

from __future__ import annotations

import ast
import configparser
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "whetstone"
CONTENT = (
    "metadata.txt",
    "__init__.py",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "plugin",
    "engine",
    "resources",
    "requirements/engine.txt",
    "requirements/deep.txt",
)
TIME = (2020, 1, 1, 0, 0, 0)
MAX_BYTES = 25_000_000
OLDEST_PYTHON = (3, 9)
REQUIRED_KEYS = (
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
    "homepage",
)
BAD_FOLDERS = {"__pycache__", "__MACOSX", ".git", ".venv", "tests", "tools", "training"}
BAD_SUFFIXES = (
    *(".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd"),
    *(".pyc", ".pyo", ".pyd", ".o", ".a", ".zip", ".whl", ".pem", ".key"),
)
BINARY_STARTS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def tracked_files(root: Path = ROOT) -> list[str]:
    """The git-tracked files that belong into the zip and exist, sorted."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--", *CONTENT]
    listed = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    return sorted(name for name in listed if name and (root / name).is_file())


def build(root: Path = ROOT) -> bytes:
    """The zip as bytes; the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in tracked_files(root):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, (root / name).read_bytes())
    return buffer.getvalue()


def problems(package: bytes) -> list[str]:
    """Everything the plugin repository would refuse or block, without its outside scanners."""
    found = []
    if len(package) > MAX_BYTES:
        found.append(f"the zip has {len(package)} bytes, {MAX_BYTES} are allowed")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
        modes = {info.external_attr >> 16 for info in archive.infolist()}
    if modes != {0o100644}:
        found.append("a file is executable")
    for name in ("__init__.py", "metadata.txt", "LICENSE"):
        if f"{NAME}/{name}" not in files:
            found.append(f"{name} is missing")
    for name, data in files.items():
        found += [f"{name}: {text}" for text in _file_problems(name, data)]
    return found + _metadata_problems(files)


def _file_problems(name: str, data: bytes) -> list[str]:
    parts = name.split("/")
    found = []
    if parts[0] != NAME or ".." in parts or "\\" in name or ":" in name:
        found.append("has a bad path")
    if BAD_FOLDERS & set(parts[:-1]) or any(part.startswith(".") for part in parts):
        found.append("does not belong into the plugin")
    if name.lower().endswith(BAD_SUFFIXES) or data.startswith(BINARY_STARTS):
        found.append("is a binary or a script")
    if name.endswith(".py"):
        try:
            ast.parse(data, name, feature_version=OLDEST_PYTHON)
        except SyntaxError as error:
            found.append(f"is not Python {'.'.join(map(str, OLDEST_PYTHON))}: {error}")
    return found


def _metadata_problems(files: dict[str, bytes]) -> list[str]:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(files.get(f"{NAME}/metadata.txt", b"").decode())
        general = dict(parser["general"])
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        return [f"metadata.txt cannot be read: {error!r}"]
    found = [f"metadata.txt lacks {key}" for key in REQUIRED_KEYS if not general.get(key)]
    for key in ("homepage", "tracker", "repository"):
        if not general.get(key, "").startswith("https://"):
            found.append(f"metadata.txt: {key} is no https address")
    if "/" in general.get("author", ""):
        found.append("metadata.txt: a slash in author")
    if "supportsQt6" in general:
        found.append("metadata.txt: supportsQt6 means nothing any more")
    if general.get("hasProcessingProvider") != "yes":
        found.append("metadata.txt: qgis_process needs hasProcessingProvider=yes")
    icon = f"{NAME}/{general.get('icon', '')}"
    if icon not in files:
        found.append(f"the icon {icon} is not in the zip")
    engine = files.get(f"{NAME}/engine/__init__.py", b"").decode()
    version = re.search(r'^__version__ = "([^"]+)"', engine, re.MULTILINE)
    if version is None or version[1] != general.get("version"):
        found.append("metadata.txt and engine/__init__.py disagree about the version")
    return found


def version() -> str:
    """The version in metadata.txt, which pyproject.toml must share."""
    text = (ROOT / "metadata.txt").read_text(encoding="utf-8")
    number = re.search(r"^version=(.+)$", text, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if number is None or f'version = "{number[1]}"' not in project:
        raise SystemExit("package: metadata.txt and pyproject.toml disagree about the version")
    return number[1]


def scan(package: bytes) -> list[str]:
    """What the scanners of the plugin repository say of the unpacked zip."""
    found = []
    folder = Path(tempfile.mkdtemp(prefix="whetstone-package-"))
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            archive.extractall(folder)
        runs = {
            "bandit": ["bandit", "-q", "-r", NAME],
            "ruff": ["ruff", "check", "-q", "--isolated", "--no-cache", "--select"]
            + ["E722,E9,F401,F63,F7,F8,C901", NAME, "--config", "lint.mccabe.max-complexity=20"],
            "detect-secrets": ["detect_secrets", "scan", "--all-files", NAME],
        }
        for tool, words in runs.items():
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True
            )
            clean = done.returncode == 0
            if tool == "detect-secrets":
                clean = clean and '"results": {}' in done.stdout
            if not clean:
                found.append(f"{tool}:\n{done.stdout}{done.stderr}")
    finally:
        shutil.rmtree(folder)
    return found


def main() -> int:
    """Build, check, write."""
    package = build()
    found = problems(package)
    if build() != package:
        found.append("two builds differ")
    found += scan(package)
    for text in found:
        print(f"package: {text}", file=sys.stderr)
    if found:
        return 1
    target = ROOT / "dist" / f"{NAME}-{version()}.zip"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(package)
    count = len(tracked_files())
    print(f"package: {target.relative_to(ROOT)}, {count} files, {len(package) / 1e3:.0f} kB, clean")
    return 0


if __name__ == "__main__":
    sys.exit(main())
