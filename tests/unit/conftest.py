"""Both raster libraries, one after the other."""

from __future__ import annotations

import pytest
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.raster import backend as make_backend

BACKENDS = ("osgeo", "rasterio")


def _backend(name):
    try:
        return make_backend(name)
    except WhetstoneError as error:
        pytest.skip(f"{name} is not installed here: {error.message}")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each raster library that this Python has."""
    return _backend(request.param)


@pytest.fixture
def both():
    """Both libraries at once, to compare them."""
    return tuple(_backend(name) for name in BACKENDS)
