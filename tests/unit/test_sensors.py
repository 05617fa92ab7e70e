"""The sensor table and the guess which sensor an image comes from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from whetstone.engine.classical.statistics import Scene, percentile
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.raster import BandInfo, RasterInfo
from whetstone.engine.sensors import SENSORS, TABLE, band_role, find_sensor, resolve_sensor

ROLES = json.loads(TABLE.read_text(encoding="utf-8"))["roles"]
NAMED = "wv2 wv3 wv4 qb ikonos ge1 gf1 gf2 pleiades spot6 spot7 landsat7 landsat8 landsat9 generic"


def image(path="scene.tif", bands=4, tags=None, names=(), colors=()):
    names, colors = [*names] + [""] * bands, [*colors] + ["undefined"] * bands
    infos = tuple(BandInfo("uint16", name=n, color=c) for n, c in zip(names[:bands], colors))
    return RasterInfo(path, 100, 100, infos, "", None, "GTiff", tags or {})


PAN = image("scene_pan.tif", 1)


def guess(ms, pan=PAN, ratio=4.0):
    return resolve_sensor("auto", pan, ms, ratio)


# ----------------------------------------------------------------------------------------- table


def test_the_sensors_asked_for_are_there():
    assert set(NAMED.split()) <= set(SENSORS)


@pytest.mark.parametrize("key", SENSORS)
def test_entries_are_complete(key):
    sensor = SENSORS[key]
    assert sensor.title
    assert sensor.aliases
    assert 0 < sensor.pan_gain < 1
    assert sensor.bits == 0 if key == "generic" else 8 <= sensor.bits <= 16
    roles = [band.role for band in sensor.bands]
    assert len(roles) >= 4
    assert len(set(roles)) == len(roles)
    assert set(roles) <= set(ROLES)
    assert {"blue", "green", "red", "nir"} <= set(roles)
    assert set(sensor.subset4) <= set(roles)
    assert set(sensor.names.values()) <= set(ROLES)
    for band in sensor.bands:
        assert 0 < band.gain < 1
        assert 400 < band.wavelength < 2500
    waves = [band.wavelength for band in sensor.bands]
    assert waves == sorted(waves)


@pytest.mark.parametrize("key", [key for key, sensor in SENSORS.items() if sensor.tv])
def test_tv_parameters(key):
    sensor = SENSORS[key]
    assert set(sensor.tv) == {"weights", "c", "alpha", "iterations", "lambda"}
    assert len(sensor.tv["weights"]) == len(sensor.bands)
    assert sum(sensor.tv["weights"]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("key", SENSORS)
def test_every_name_finds_its_sensor(key):
    """No alias is taken twice."""
    sensor = SENSORS[key]
    for name in (key, key.upper(), sensor.title, *sensor.aliases):
        assert find_sensor(name) is sensor


@pytest.mark.parametrize(
    ("name", "meant"), (("worldveiw3", "wv3"), ("Quick Brid", "qb"), ("landsta8", "landsat8"))
)
def test_unknown_names_suggest(name, meant):
    with pytest.raises(WhetstoneError, match="no sensor called") as caught:
        find_sensor(name)
    assert caught.value.code == "SENSOR_UNKNOWN"
    assert f"Did you mean {meant}?" in caught.value.hint
    assert "generic" in caught.value.hint


def test_nonsense_suggests_nothing():
    with pytest.raises(WhetstoneError) as caught:
        find_sensor("xyzzy")
    assert "Did you mean" not in caught.value.hint


# ----------------------------------------------------------------------------------------- guess


@pytest.mark.parametrize(
    ("tags", "key"),
    (
        ({"SENSOR": "WorldView-3"}, "wv3"),
        ({"SATELLITEID": "QB02"}, "qb"),
        ({"SPACECRAFT_ID": "LANDSAT_8"}, "landsat8"),
        ({"SPACECRAFT_ID": "LANDSAT_9"}, "landsat9"),
        ({"SENSOR_ID": "GE01"}, "ge1"),
        ({"MISSION": "PHR1B"}, "pleiades"),
        ({"platform": "GaoFen-2"}, "gf2"),
        ({"SATELLITE": "SPOT 7"}, "spot7"),
        ({"SENSOR": "QuickBird (synthetic)"}, "qb"),
    ),
)
def test_tags_name_the_sensor(tags, key):
    found = guess(image(tags=tags))
    assert found.key == key
    assert "by the tag" in found.reason
    assert guess(image(), image("p.tif", 1, tags)).key == key  # the tag of the PAN counts too


@pytest.mark.parametrize(
    ("path", "key"),
    (
        ("LC08_L1TP_201032_20200101_MS.TIF", "landsat8"),
        ("/data/scene_WV3_ms.tif", "wv3"),
        ("QB_mmfn-rr-20_ms.tif", "qb"),
        ("IKONOS-2.tif", "ikonos"),
        ("city.gf2.tif", "gf2"),
        ("LE07_x.tif", "landsat7"),
    ),
)
def test_file_names_name_the_sensor(path, key):
    found = guess(image(path))
    assert found.key == key
    assert "by the file name" in found.reason


@pytest.mark.parametrize("path", ("ikebana.tif", "wv33.tif", "soil8_ms.tif", "generic.tif"))
def test_what_only_looks_like_a_name(path):
    assert guess(image(path)).key == "generic"


def test_tags_come_before_file_names():
    assert guess(image("WV3.tif", tags={"SENSOR": "QuickBird"})).key == "qb"


def test_eight_bands():
    assert guess(image(bands=8)).key == "wv3"
    assert guess(image(bands=8), ratio=2.0).key == "generic"


def test_nothing_to_go_by():
    found = guess(image(bands=5))
    assert found.key == "generic"
    assert found.reason.startswith("nothing names the sensor of these 5 bands")
    assert found.ms_gains == (0.30,) * 5
    assert found.roles == ("",) * 5


def test_a_chosen_sensor_is_chosen():
    found = resolve_sensor("worldview 3", PAN, image("QB.tif", 8), 4)
    assert (found.key, found.pan_gain, found.bits) == ("wv3", 0.14, 11)
    assert found.reason.startswith("chosen")


# ------------------------------------------------------------------------------------- band order


@pytest.mark.parametrize(
    ("name", "role"),
    (
        *(("R", "red"), ("blue", "blue"), ("Red Edge", "rededge"), ("NIR1", "nir")),
        *(("n2", "nir2"), ("Near_Infrared", "nir"), ("Coastal Blue", "coastal")),
        *(("", ""), ("Band 1", ""), ("thermal", "")),
    ),
)
def test_band_names(name, role):
    assert band_role(name) == role


@pytest.mark.parametrize("name", ("B4", "band 4", "SR_B4", "b04", "Band_4"))
def test_landsat_band_numbers(name):
    assert band_role(name, SENSORS["landsat8"]) == "red"
    assert band_role(name, SENSORS["landsat7"]) == "nir"


def test_gains_follow_the_names():
    found = resolve_sensor("qb", PAN, image(names=("R", "G", "B", "NIR")), 4)
    assert found.roles == ("red", "green", "blue", "nir")
    assert found.ms_gains == (0.30, 0.32, 0.34, 0.22)
    assert found.tv["weights"] == (0.2928, 0.2127, 0.1091, 0.3854)
    assert "by name" in found.reason


def test_gains_follow_the_colours():
    colors = ("red", "green", "blue", "undefined")
    found = resolve_sensor("qb", PAN, image(colors=colors), 4)
    assert found.roles == ("red", "green", "blue", "nir")  # what else would the fourth be
    assert found.ms_gains == (0.30, 0.32, 0.34, 0.22)
    assert "by colour interpretation" in found.reason
    three = resolve_sensor("qb", PAN, image(bands=3, colors=colors), 4)
    assert three.roles == ("red", "green", "blue")
    five = resolve_sensor("qb", PAN, image(bands=5, colors=colors), 4)
    assert five.roles == ("red", "green", "blue", "", "")


def test_unnamed_bands_have_the_usual_order():
    found = resolve_sensor("wv2", PAN, image(bands=8), 4)
    assert found.roles[0] == "coastal"
    assert found.ms_gains == (0.35,) * 7 + (0.27,)
    found = resolve_sensor("wv3", PAN, image(bands=4), 4)
    assert found.roles == ("blue", "green", "red", "nir")
    assert found.ms_gains == (0.355, 0.360, 0.365, 0.335)
    found = resolve_sensor("landsat8", PAN, image(bands=3), 2)
    assert found.roles == ("blue", "green", "red")


def test_an_unknown_number_of_bands_has_the_typical_gain():
    found = resolve_sensor("qb", PAN, image(bands=3), 4)
    assert found.roles == ("", "", "")
    assert np.allclose(found.ms_gains, np.mean([0.34, 0.32, 0.30, 0.22]))
    assert found.tv == {}
    assert "unknown order" in found.reason


def test_equal_names_do_not_count():
    found = resolve_sensor("qb", PAN, image(names=("red", "red", "red", "red")), 4)
    assert found.roles == ("blue", "green", "red", "nir")


def test_haze_factors_follow_the_roles():
    """Tested on the values themselves: a permuted image has permuted haze."""
    values = np.random.default_rng(1).uniform(100, 900, (4, 400))
    factors = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}

    class Known(Scene):
        def __init__(self, roles):
            self.bands, self._roles = 4, roles
            self.sensor = resolve_sensor("qb", PAN, image(names=roles), 4)

        def _pass(self, look):
            yield None, values

    for roles in (("red", "green", "blue", "nir"), ("nir", "red", "green", "blue")):
        haze = Known(roles).haze()
        wanted = [factors[role] * percentile(v, 1) for role, v in zip(roles, values)]
        assert np.allclose(haze, wanted)
