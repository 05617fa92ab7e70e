"""What two CRS have in common and how to call them, through ``osgeo.osr``."""

from __future__ import annotations

from typing import Any

from osgeo import osr

from . import rules
from .gdal_quiet import Quiet

_LOOSE = ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]


class GdalCrs:
    """The part of the backend that knows CRS."""

    def same_crs(self, a: str, b: str) -> bool:
        """Whether two CRS (WKT or "EPSG:n") mean the same (axis order and names ignored)."""
        one, two = _srs(a), _srs(b)
        with Quiet():
            if one.IsSame(two, _LOOSE) or _plain(one).IsSame(_plain(two), _LOOSE):
                return True
            return bool(_code(one)) and _code(one) == _code(two)

    def crs_wkt(self, crs: str) -> str:
        """WKT2 of a CRS given as WKT or as "EPSG:n"; raises ``CRS_INVALID``."""
        return wkt_of(_srs(crs))

    def crs_label(self, crs: str) -> str:
        """A CRS in a few words: "EPSG:32633", or its name when it has no code."""
        if not crs:
            return "unknown"
        srs = _srs(crs)
        with Quiet():
            return _code(srs) or rules.wkt_name(crs)

    def crs_unit(self, crs: str) -> str:
        """Unit of the CRS axes for people: "m", "degree", ..., "" when unknown."""
        if not crs:
            return ""
        srs = _srs(crs)
        with Quiet():
            if srs.IsGeographic():
                return rules.unit_label(srs.GetAngularUnitsName() or "")
            return rules.unit_label(srs.GetLinearUnitsName() or "")


def _srs(crs: str) -> Any:
    """A CRS object with x before y, whatever its authority says."""
    srs = osr.SpatialReference()
    with Quiet():
        try:
            failed = srs.SetFromUserInput(crs)
        except RuntimeError:  # osr has a switch of its own for exceptions
            failed = 1
    if failed or not crs:
        raise rules.unknown_crs(crs)
    srs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return srs


def wkt_of(srs: Any) -> str:
    """WKT2 of a CRS object, "" of none."""
    return (srs.ExportToWkt(["FORMAT=WKT2_2019"]) or "") if srs is not None else ""


def _plain(srs: Any) -> Any:
    """The CRS without its axes, which only ESRI's WKT leaves out; itself where that has no word."""
    bare = osr.SpatialReference()
    try:
        failed = bare.SetFromUserInput(srs.ExportToWkt(["FORMAT=WKT1_ESRI"]) or "")
    except RuntimeError:
        failed = 1
    return srs if failed else bare


def _code(srs: Any) -> str:
    """ "EPSG:n" of a CRS, by its own word or by what it is equal to; "" without one."""
    name, code = srs.GetAuthorityName(None), srs.GetAuthorityCode(None)
    if name and code:
        return f"{name}:{code}"
    try:
        matches = srs.FindMatches() or []
    except RuntimeError:
        return ""
    for match, confidence in matches:
        if confidence >= 70 and match.GetAuthorityCode(None):
            return f"{match.GetAuthorityName(None)}:{match.GetAuthorityCode(None)}"
    return ""
