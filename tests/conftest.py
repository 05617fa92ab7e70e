"""What every test may count on: the package under its name, and the data beside the checkout."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if importlib.util.find_spec("whetstone") is None:  # not installed: the checkout is the package
    spec = importlib.util.spec_from_file_location(
        "whetstone", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = sys.modules["whetstone"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real scenes and independent numbers beside the checkout."""
    for folder in (
        Path(os.environ.get("WHETSTONE_SHARED", ROOT.parent / "shared")),
        ROOT / "shared",
    ):
        if folder.is_dir():
            return folder
    pytest.skip("no folder ../shared with real scenes and reference numbers")
