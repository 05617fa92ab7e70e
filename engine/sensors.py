"""The sensor table, and the guess which sensor an MS image comes from.

``resources/sensors.json`` is the only home of MTF gains, band orders, wavelengths and bit depths;
users may edit it. ``auto`` never guesses silently: the reason goes into the result's notes.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from .errors import WhetstoneError

if TYPE_CHECKING:
    from .raster.model import BandInfo, RasterInfo

TABLE = Path(__file__).resolve().parent.parent / "resources" / "sensors.json"
DEFAULT_GAIN = 0.30
#: Metadata keys under which makers and tools name the platform.
_TAGS = (
    "SENSOR",
    "SENSOR_ID",
    "SATELLITE",
    "SATELLITEID",
    "SATID",
    "PLATFORM",
    "SPACECRAFT_ID",
    "MISSION",
)


@dataclass(frozen=True)
class SensorBand:
    """A band of a sensor: its role ("blue", "nir", ...), centre wavelength in nm, MTF gain."""

    role: str
    wavelength: float
    gain: float


@dataclass(frozen=True)
class Sensor:
    """One row of the sensor table. ``bits`` is the radiometric depth of its products, 0 unknown."""

    key: str
    title: str
    aliases: tuple[str, ...]
    bits: int
    pan_gain: float
    bands: tuple[SensorBand, ...]
    subset4: tuple[str, ...]
    names: Mapping[str, str]
    tv: Mapping[str, Any]

    def gains(self, roles: Sequence[str]) -> tuple[float, ...]:
        """MTF gains of bands by their roles; that of a band it does not know is typical of it."""
        known = {band.role: band.gain for band in self.bands}
        typical = sum(known.values()) / len(known)
        return tuple(known.get(role, typical) for role in roles)

    def order(self, count: int) -> tuple[str, ...]:
        """Roles of the bands of a product with ``count`` unnamed bands, "" if nobody can tell."""
        roles = tuple(band.role for band in self.bands)
        if count == len(roles):
            return roles
        if count == 4 and self.subset4:
            return self.subset4
        if len(roles) >= count and self.key.startswith("landsat"):
            return roles[:count]
        return ("",) * count


@dataclass(frozen=True)
class SensorMatch:
    """A sensor applied to the bands of one image, in the image's band order."""

    key: str
    title: str
    reason: str
    bits: int
    pan_gain: float
    ms_gains: tuple[float, ...]
    roles: tuple[str, ...]
    tv: Mapping[str, Any]

    def ordered(self, bands: Sequence[int]) -> SensorMatch:
        """Of an image whose k-th band is the band ``bands[k]`` of this one."""
        tv = {**self.tv, "weights": _picked(self.tv["weights"], bands)} if self.tv else self.tv
        return replace(
            self, ms_gains=_picked(self.ms_gains, bands), roles=_picked(self.roles, bands), tv=tv
        )


def _picked(values: Sequence[Any], places: Sequence[int]) -> tuple[Any, ...]:
    return tuple(values[place] for place in places)


def _load() -> tuple[dict[str, Sensor], dict[str, str]]:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    sensors = {
        key: Sensor(
            key,
            row["title"],
            tuple(row["aliases"]),
            row["bits"] or 0,
            row["pan_gain"],
            tuple(SensorBand(*band) for band in row["bands"]),
            tuple(row.get("subset4", ())),
            row.get("names", {}),
            row.get("tv", {}),
        )
        for key, row in table["sensors"].items()
    }
    roles = {name: role for role, names in table["roles"].items() for name in [role, *names]}
    return sensors, roles


SENSORS, _ROLES = _load()


def find_sensor(name: str) -> Sensor:
    """The sensor called ``name`` (key, title or alias, any case); refused with a suggestion."""
    wanted = _plain(name)
    known = {}
    for sensor in SENSORS.values():
        for alias in (sensor.key, sensor.title, *sensor.aliases):
            known[_plain(alias)] = sensor
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, list(known), 1)
    hint = f"Did you mean {known[close[0]].key}? " if close else ""
    raise WhetstoneError(
        "SENSOR_UNKNOWN",
        f"There is no sensor called {name!r}.",
        f"{hint}Choose auto, {', '.join(SENSORS)}.",
    )


def resolve_sensor(name: str, pan: RasterInfo, ms: RasterInfo, ratio: float) -> SensorMatch:
    """Apply the sensor ``name`` (or "auto") to the bands of an MS image at a PAN/MS ratio."""
    if name.strip().lower() != "auto":
        sensor, reason = find_sensor(name), "chosen"
    else:
        sensor, reason = _guess(pan, ms, ratio)
    roles, why = _roles(sensor, ms.bands)
    return SensorMatch(
        sensor.key,
        sensor.title,
        f"{reason}; bands {why}",
        sensor.bits,
        sensor.pan_gain,
        sensor.gains(roles),
        roles,
        _tv_in_order(sensor, roles),
    )


def band_role(name: str, sensor: Sensor | None = None) -> str:
    """The role a band's name stands for ("R" -> "red"), "" when it says nothing."""
    plain = re.sub(r"[\s_]+", " ", name.strip().lower())
    if sensor is not None:
        short = re.sub(r"^(sr|st|band|toa)?[ _-]*b?0*(\d+)$", r"b\2", plain)
        if short in sensor.names:
            return sensor.names[short]
    return _ROLES.get(plain, "")


def _roles(sensor: Sensor, bands: tuple[BandInfo, ...]) -> tuple[tuple[str, ...], str]:
    """Band roles by name, else by colour interpretation, else by the sensor's own order."""
    named = [band_role(band.name, sensor) for band in bands]
    if all(named) and len(set(named)) == len(named):
        return tuple(named), "by name"
    colors = [band.color if band.color in ("red", "green", "blue") else "" for band in bands]
    if {"red", "green", "blue"} <= set(colors):
        found = [n or c for n, c in zip(named, colors)]
        if len(found) == 4 and "" in found:
            found[found.index("")] = "nir"  # GDAL has no colour for it in the versions we meet
        return tuple(found), "by colour interpretation"
    order = sensor.order(len(bands))
    if all(order):
        return order, "in the sensor's usual order (" + ", ".join(order) + ")"
    return tuple(named), "of unknown order"


def _tv_in_order(sensor: Sensor, roles: tuple[str, ...]) -> Mapping[str, Any]:
    """The sensor's TV parameters with the PAN weights in the image's band order; {} if unknown."""
    order = [band.role for band in sensor.bands]
    if not sensor.tv or sorted(order) != sorted(roles):
        return {}
    weights = dict(zip(order, sensor.tv["weights"]))
    return {**sensor.tv, "weights": tuple(weights[role] for role in roles)}


def _guess(pan: RasterInfo, ms: RasterInfo, ratio: float) -> tuple[Sensor, str]:
    for info in (ms, pan):
        for key, value in info.tags.items():
            sensor = _mentioned(value) if key.upper() in _TAGS else None
            if sensor:
                return sensor, f"{sensor.title} by the tag {key}={value}"
    for info in (ms, pan):
        sensor = _in_filename(Path(info.path).stem)
        if sensor:
            return sensor, f"{sensor.title} by the file name {Path(info.path).name}"
    if len(ms.bands) == 8 and round(ratio) == 4:
        return SENSORS["wv3"], "8 bands at ratio 4 look like WorldView-2/3"
    return SENSORS["generic"], f"nothing names the sensor of these {len(ms.bands)} bands"


def _mentioned(text: str) -> Sensor | None:
    """The sensor whose name a metadata value contains."""
    plain = _plain(text)
    for sensor in SENSORS.values():
        for alias in (sensor.key, sensor.title.split("/")[0], *sensor.aliases):
            word = _plain(alias)
            if sensor.key != "generic" and (word == plain or (len(word) >= 4 and word in plain)):
                return sensor
    return None


def _in_filename(stem: str) -> Sensor | None:
    """The sensor a file name begins with or carries as a word ("LC08_...", "scene_WV3_ms")."""
    words = {_plain(word) for word in re.split(r"[_\s.-]+", stem)}
    for sensor in SENSORS.values():
        names = {_plain(alias) for alias in (sensor.key, sensor.title, *sensor.aliases)}
        if sensor.key != "generic" and words & {
            name for name in names if len(name) > 2 or name in ("qb", "l7", "l8", "l9")
        }:
            return sensor
    return None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
