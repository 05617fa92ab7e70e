"""Real scenes: what the check says of them, and what a fusion makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import CheckJob, DegradeJob, FuseJob, RasterSource, run
from whetstone.engine.metrics.reference import ergas
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.types import Window

pytestmark = pytest.mark.real

#: One scene per sensor: (folder/name, sensor that auto must find, ratio, bands).
SCENES = (
    ("val/WV2_rotterdam-sn6-1", "wv2", 2, 4),
    ("val/QB_mmfn-rr-20", "qb", 4, 4),
    ("val/GF2_psdata3-fr-train4", "gf2", 4, 4),
    ("val/SPOT6_vegetation", "spot6", 4, 4),
    ("val/GE1_pnn-test", "ge1", 4, 4),
    ("val/L7_P090R083_20000913_07", "landsat7", 2, 6),
    ("val/L8_navarra-mmontesinos", "landsat8", 2, 4),
    ("georeferenced/WV2_rotterdam-sn6-1", "wv2", 2, 4),
    ("georeferenced/L8_navarra-mmontesinos", "landsat8", 2, 4),
    ("georeferenced/L8_madrid-rupesh", "landsat8", 2, 3),
)
MADRID = "georeferenced/L8_madrid-rupesh"
IDS = [scene[0] for scene in SCENES]


@pytest.fixture
def pair(shared):
    """The two sources of a scene."""

    def sources(name):
        paths = [shared / "data" / f"{name}_{part}.tif" for part in ("pan", "ms")]
        for path in paths:
            if not path.is_file():
                pytest.skip(f"the scene {path} is not here")
        return [RasterSource.of(str(path)) for path in paths]

    return sources


def load(path):
    """(values, valid, info) of a whole file."""
    reader = raster_backend().open(str(path))
    info = reader.info
    window = Window(0, 0, info.width, info.height)
    values, valid = reader.read(range(1, len(info.bands) + 1), window)
    reader.close()
    return values, valid, info


@pytest.mark.parametrize(("name", "sensor", "ratio", "bands"), SCENES, ids=IDS)
def test_check(pair, name, sensor, ratio, bands):
    found = run(CheckJob(*pair(name)))
    assert found.sensor == sensor
    assert found.ratio == pytest.approx(ratio, abs=1e-3)
    assert len(found.bands) == bands
    assert found.overlap > 0.98
    assert found.shift is not None
    size = np.hypot(*found.shift)
    assert size < 1.5  # data/README.md: up to 1 px in the re-cropped scenes
    assert found.ok == (size <= 0.5 * ratio), found.notes
    assert max(found.pan_correlation) > 0.5


@pytest.mark.parametrize(("name", "sensor", "ratio", "bands"), SCENES, ids=IDS)
def test_fuse(pair, tmp_path, name, sensor, ratio, bands):
    pan, ms = pair(name)
    out = tmp_path / "fused.tif"
    result = run(FuseJob(pan, ms, str(out), method="gsa"))
    values, valid, info = load(out)
    _, _, pan_info = load(pan.paths[0])
    ms_values, ms_valid, ms_info = load(ms.paths[0])
    assert (result.bands, len(values)) == (bands, bands)
    assert result.sensor == sensor
    assert result.valid_fraction > 0.5
    # georeferencing and CRS of the PAN, type and names of the MS
    assert raster_backend().same_crs(info.crs, pan_info.crs)
    assert info.transform[1] == pan_info.transform[1]
    assert info.transform[5] == pan_info.transform[5]
    for axis, size in ((0, pan_info.width - info.width), (3, pan_info.height - info.height)):
        step = pan_info.transform[axis + 1 if axis == 0 else 5]
        moved = (info.transform[axis] - pan_info.transform[axis]) / step
        assert moved == pytest.approx(round(moved), abs=1e-6)
        assert 0 <= round(moved) <= size
    assert [b.dtype for b in info.bands] == [b.dtype for b in ms_info.bands]
    assert [b.name for b in info.bands] == [b.name for b in ms_info.bands]
    # finite, and of the same brightness as the MS
    use = np.ones(values.shape[1:], bool) if valid is None else valid
    ms_use = np.ones(ms_values.shape[1:], bool) if ms_valid is None else ms_valid
    assert np.isfinite(values[:, use]).all()
    after, before = values[:, use].mean(axis=1), ms_values[:, ms_use].mean(axis=1)
    assert np.abs(after / before - 1).max() < 0.02
    assert np.all(values[:, use].std(axis=1) > ms_values[:, ms_use].std(axis=1) * 0.97)


def test_landsat_grids_are_half_a_pixel_off(pair):
    """The PAN grid of Landsat is inset by 7.5 m; here it begins one MS pixel further right."""
    found = run(CheckJob(*pair(MADRID)))
    assert found.phase == (-1, 0)
    assert np.hypot(*found.shift) < 0.1
    assert found.shift_confidence > 0.8


@pytest.mark.parametrize("name", ("WV2_rotterdam-sn6-1", "L8_navarra-mmontesinos"))
def test_two_georeferencings_of_one_scene(pair, name):
    """The crop in val/ begins at another pixel and claims another phase: the shift makes up for it.

    What is left over is whole pixels by which the publishers' crops were moved.
    """
    places = []
    for folder in ("val", "georeferenced"):
        found = run(CheckJob(*pair(f"{folder}/{name}")))
        places.append(np.add(found.phase, found.shift))
    apart = np.subtract(*places)
    assert np.abs(apart - np.rint(apart)).max() < 0.1


#: At reduced resolution. Not WV2_rotterdam: the 1 m grid of its 2 m MS holds no truth.
REDUCED = (
    "val/GF2_psdata3-fr-train4",
    "val/SPOT6_vegetation",
    "val/GE1_pnn-test",
    "val/L7_P090R083_20000913_07",
    MADRID,
)


@pytest.mark.parametrize("name", REDUCED)
def test_gsa_beats_interpolation(pair, tmp_path, name):
    made = run(DegradeJob(*pair(name), str(tmp_path)))
    truth, valid, _ = load(made.gt)
    figures = {}
    for method in ("exp", "gsa"):
        out = tmp_path / f"{method}.tif"
        sources = RasterSource.of(made.pan), RasterSource.of(made.ms)
        run(FuseJob(*sources, str(out), method=method))
        fused, fused_valid, _ = load(out)
        assert fused.shape == truth.shape
        use = np.ones(truth.shape[1:], bool) if valid is None else valid
        use = use if fused_valid is None else use & fused_valid
        figures[method] = ergas(
            np.where(use, truth, 0).astype(float), np.where(use, fused, 0).astype(float), made.ratio
        )
    assert figures["gsa"] < 0.95 * figures["exp"]
