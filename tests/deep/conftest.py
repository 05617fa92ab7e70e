"""Deep tests need torch; they run on the engine's Python. And the scenes that several draw."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the deep models need torch (requirements/deep.txt)")
torch.set_num_threads(1)  # small tensors; more threads only wait for each other
for folder in (Path(__file__).parent, Path(__file__).parents[1] / "unit"):
    sys.path.insert(0, str(folder))  # plain.py, scenes.py, ...


@pytest.fixture(scope="session")
def backend():
    from whetstone.engine.raster import backend as make_backend

    return make_backend("rasterio")


@pytest.fixture(scope="session")
def pair(tmp_path_factory, backend):
    """128 x 152 PAN pixels: windows of 32 do not fit into it evenly."""
    from scenes import make_pair

    return make_pair(backend, tmp_path_factory.mktemp("pair"), (128, 152))


@pytest.fixture(scope="session")
def odd(tmp_path_factory, backend):
    """93 x 75 PAN pixels, no multiples of anything; open."""
    from plain_scene import opened
    from scenes import make_pair

    made = make_pair(backend, tmp_path_factory.mktemp("odd"), (93, 75), ms_size=(24, 19))
    with opened(made) as pair:
        yield pair


@pytest.fixture(scope="session")
def wide(tmp_path_factory, backend):
    """136 x 72 PAN pixels: two windows of 128, six of 64; open."""
    from plain_scene import opened
    from scenes import make_pair

    made = make_pair(backend, tmp_path_factory.mktemp("wide"), (136, 72), dtype="float32")
    with opened(made) as pair:
        yield pair


@pytest.fixture(scope="session")
def drawn(tmp_path_factory, backend):
    """64 x 48 PAN pixels on disk."""
    from scenes import make_pair

    return make_pair(backend, tmp_path_factory.mktemp("drawn"), (64, 48))


@pytest.fixture(scope="session")
def even(drawn):
    """The same, open: multiples of CrossDiff's grid, so that nothing is mirrored."""
    from plain_scene import opened

    with opened(drawn) as pair:
        yield pair


@pytest.fixture
def small_windows(monkeypatch):
    """Scenes of a few hundred pixels have many windows."""
    from whetstone.engine.deep import crossdiff_scene

    monkeypatch.setattr(crossdiff_scene, "CORE", 64)
    monkeypatch.setattr(crossdiff_scene, "SAMPLE_SIDE", 64)
