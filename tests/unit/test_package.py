"""The plugin zip: the same bytes every time, and nothing that the plugin repository refuses."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import zipfile

import pytest


@pytest.fixture(scope="module")
def tool(root):
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("the package is made of git-tracked files; this is no git checkout")
    spec = importlib.util.spec_from_file_location("package_tool", root / "tools" / "package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    """A small checkout that the plugin repository would accept."""
    root = tmp_path / "odd name"
    for name, text in {
        "metadata.txt": "[general]\nname=W\ndescription=d\nversion=1.0\nqgisMinimumVersion=3.22\n"
        "author=a\nemail=a@example.org\nabout=50%% sharper\ntracker=https://example.org\n"
        "repository=https://example.org\nhomepage=https://example.org\nicon=resources/i.svg\n"
        "hasProcessingProvider=yes\n",
        "__init__.py": "",
        "LICENSE": "GPL",
        "engine/__init__.py": '__version__ = "1.0"\n',
        "resources/i.svg": "<svg/>",
        "tests/test_x.py": "",
        "engine/untracked.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    tracked = ["metadata.txt", "__init__.py", "LICENSE", "engine/__init__.py", "resources", "tests"]
    subprocess.run(["git", "-C", str(root), "add", *tracked], check=True)
    return root


def names(package):
    return zipfile.ZipFile(io.BytesIO(package)).namelist()


def repacked(package, **changes):
    """The zip with files added or replaced, or (None) taken away."""
    changes = {f"whetstone/{key}": value for key, value in changes.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(buffer, "w") as new:
        files = {**{name: old.read(name) for name in old.namelist()}, **changes}
        for name, data in files.items():
            if data is not None:
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o100644 << 16
                new.writestr(entry, data)
    return buffer.getvalue()


def test_this_checkout_gives_a_clean_reproducible_zip(tool):
    package = tool.build()
    assert package == tool.build()
    assert tool.problems(package) == []
    assert {name.split("/")[0] for name in names(package)} == {"whetstone"}
    assert names(package) == sorted(names(package))
    assert tool.version()


def test_only_tracked_files_of_the_plugin_go_in(tool, checkout):
    assert names(tool.build(checkout)) == [
        "whetstone/LICENSE",
        "whetstone/__init__.py",
        "whetstone/engine/__init__.py",
        "whetstone/metadata.txt",
        "whetstone/resources/i.svg",
    ]
    assert tool.problems(tool.build(checkout)) == []


def test_times_and_modes_of_the_files_do_not_matter(tool, checkout):
    before = tool.build(checkout)
    (checkout / "__init__.py").chmod(0o755)
    (checkout / "LICENSE").touch()
    assert tool.build(checkout) == before


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("LICENSE", None, "LICENSE is missing"),
        ("metadata.txt", None, "metadata.txt is missing"),
        ("metadata.txt", "[general]\nname=W\nabout=50% more\n", "cannot be read"),
        ("metadata.txt", "[general]\nname=W\n", "lacks tracker"),
        ("run.sh", "true", "binary or a script"),
        ("engine/x.dat", b"\x7fELF....", "binary or a script"),
        ("engine/x.pyc", b"..", "binary or a script"),
        ("__pycache__/x.txt", "x", "does not belong"),
        (".secrets", "x", "does not belong"),
        ("../x.txt", "x", "bad path"),
        ("engine/new.py", "match x:\n    case 1: pass\n", "is not Python 3.9"),
        ("resources/i.svg", None, "is not in the zip"),
        ("engine/__init__.py", '__version__ = "2.0"', "disagree about the version"),
    ],
)
def test_what_the_repository_refuses_is_found(tool, checkout, name, data, complaint):
    broken = repacked(tool.build(checkout), **{name: data})
    assert any(complaint in text for text in tool.problems(broken)), tool.problems(broken)
